// ---- Outline: the edge of a mask as a path in image pixels --------------------------

// With more pieces than this the edge is finer than a line, and only the veil is shown.
const MAX_PIECES = 20000

// Straight pieces between pixels of which one is marked and the other is not, as long as possible; null if there are too many.
function outlineOf(plane, width, height) {
  const path = new Path2D()
  const starts = new Int32Array(width + 1).fill(-1) // of the upright piece that is open at each x
  let pieces = 0
  for (let y = 0; y <= height; y++) {
    const [here, above] = [y * width, (y - 1) * width]
    let from = -1
    for (let x = 0; x <= width; x++) {
      const now = y < height && x < width ? plane[here + x] : 0
      const left = y < height && x > 0 ? plane[here + x - 1] : 0
      const up = y > 0 && x < width ? plane[above + x] : 0
      if (now !== up) {
        if (from < 0) from = x
      } else if (from >= 0) {
        path.moveTo(from, y)
        path.lineTo(x, y)
        from = -1
        pieces++
      }
      if (now !== left) {
        if (starts[x] < 0) starts[x] = y
      } else if (starts[x] >= 0) {
        path.moveTo(x, starts[x])
        path.lineTo(x, y)
        starts[x] = -1
        pieces++
      }
    }
    if (pieces > MAX_PIECES) return null
  }
  return path
}

// A dark line under a light one is visible on any picture.
function strokeTwice(ctx, path, width, unit) {
  for (const [colour, line] of [["rgba(0,0,0,0.6)", width + 2], ["#fff", width]]) {
    ctx.strokeStyle = colour
    ctx.lineWidth = line * unit
    path ? ctx.stroke(path) : ctx.stroke()
  }
}
