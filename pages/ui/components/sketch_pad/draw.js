// ---- Drawing of the pad -------------------------------------------------------------

// strokes: as drawn; data: the points of the data set, flat per stroke.
function drawPad(canvas, style, strokes, data) {
  const context = canvas.getContext("2d")
  const unit = canvas.width / SIDE
  const toCanvas = ([x, y]) => [x * unit, canvas.height - y * unit]
  context.clearRect(0, 0, canvas.width, canvas.height)
  drawAxes(context, canvas, style.getPropertyValue("--line"))
  const colour = style.getPropertyValue("--data")
  drawStrokes(context, strokes, colour, unit, toCanvas)
  drawPoints(context, strokesOf(data), colour, 1.1 * unit, toCanvas)
}

function drawAxes(context, { width, height }, colour) {
  context.strokeStyle = colour
  context.lineWidth = Math.max(1, Math.round(devicePixelRatio))
  const middle = Math.round(width / 2) + (context.lineWidth % 2) / 2
  context.beginPath()
  context.moveTo(middle, 0)
  context.lineTo(middle, height)
  context.moveTo(0, middle)
  context.lineTo(width, middle)
  context.stroke()
}

function drawStrokes(context, strokes, colour, unit, toCanvas) {
  context.lineCap = "round"
  context.lineJoin = "round"
  // One path for all strokes, so that translucent strokes do not darken where they cross.
  context.globalAlpha = 0.22
  context.strokeStyle = colour
  context.lineWidth = 7 * unit
  context.beginPath()
  for (const stroke of strokes) {
    context.moveTo(...toCanvas(stroke[0]))
    for (const point of stroke.slice(1)) context.lineTo(...toCanvas(point))
    if (stroke.length === 1) {
      // A stroke of one point has no length; a very short line receives the round caps.
      const [x, y] = toCanvas(stroke[0])
      context.lineTo(x + 0.01, y)
    }
  }
  context.stroke()
  context.globalAlpha = 1
}

function drawPoints(context, strokes, colour, radius, toCanvas) {
  context.fillStyle = colour
  context.beginPath()
  for (const point of strokes.flat()) {
    const [x, y] = toCanvas(point)
    context.moveTo(x + radius, y)
    context.arc(x, y, radius, 0, 2 * Math.PI)
  }
  context.fill()
}
