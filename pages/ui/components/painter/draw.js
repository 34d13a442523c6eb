// ---- Drawing ------------------------------------------------------------------------
// Two canvases at the picture's own size are kept up to date where the plane changes: `shown`, the picture with the
// completion in its hole, and `veil`, what is still missing. A frame only scales them onto the screen.

const VEIL = 0.5 // opacity
const WHOLE = { left: 0, top: 0, right: Infinity, bottom: Infinity }

function layer(width, height) {
  const canvas = el("canvas", { width, height })
  const data = new ImageData(width, height)
  return { canvas, data, words: new Uint32Array(data.data.buffer), context: canvas.getContext("2d") }
}

// The plane, or what is behind it, changed within a rectangle of image pixels.
function touch(p, rect = WHOLE) {
  const d = p.dirty
  p.dirty = d
    ? { left: Math.min(d.left, rect.left), top: Math.min(d.top, rect.top), right: Math.max(d.right, rect.right), bottom: Math.max(d.bottom, rect.bottom) }
    : { ...rect }
  schedule(p)
}

const schedule = (p) => p.frame.request()

function refreshLayers(p) {
  if (!p.dirty) return
  const { left, top } = p.dirty
  const [right, bottom] = [Math.min(p.dirty.right, p.width), Math.min(p.dirty.bottom, p.height)]
  p.dirty = null
  if (right <= left || bottom <= top) return
  const { shown, veil } = p.layers
  const [r, g, b] = p.palette.model
  const red = ((Math.round(255 * VEIL) << 24) | (b << 16) | (g << 8) | r) >>> 0
  const draws = p.mode === "draw"
  const paper = { pixels: p.plane, channels: 1 }
  for (let y = top; y < bottom; y++) {
    for (let i = y * p.width + left, end = y * p.width + right; i < end; i++) {
      const filled = p.result && p.plane[i] && p.result.filled[i]
      shown.words[i] = wordOf(draws ? paper : filled ? p.result : p.image, i)
      veil.words[i] = draws || !p.plane[i] || filled ? 0 : red
    }
  }
  for (const { context, data } of [shown, veil]) context.putImageData(data, 0, 0, left, top, right - left, bottom - top)
  if (!draws) p.outline = outlineOf(p.plane, p.width, p.height)
}

// What the picture is compared with: the original if there is one, else the picture before it was completed.
const referenceOf = (p) => p.before || (p.result ? p.image : null)

function fillReference(p) {
  const picture = referenceOf(p)
  if (!picture || p.layers.reference.from === picture) return
  const { words, context, data } = p.layers.reference
  for (let i = 0; i < words.length; i++) words[i] = wordOf(picture, i)
  context.putImageData(data, 0, 0)
  p.layers.reference.from = picture
}

function render(p) {
  if (!p.layers || !p.palette) return
  refreshLayers(p)
  fillReference(p)
  const ctx = p.canvas.getContext("2d")
  const view = viewOf(p)
  const ratio = ratioOf()
  ctx.setTransform(1, 0, 0, 1, 0, 0)
  ctx.clearRect(0, 0, p.canvas.width, p.canvas.height)
  ctx.setTransform(view.scale, 0, 0, view.scale, view.x, view.y)
  const unit = ratio / view.scale // one css px in image pixels
  ctx.imageSmoothingEnabled = !p.small && view.scale < 4 * ratio
  ctx.imageSmoothingQuality = "high"
  const { shown, veil, reference } = p.layers
  const comparing = p.comparing && referenceOf(p)
  ctx.drawImage(comparing ? reference.canvas : shown.canvas, 0, 0)
  if (!comparing) {
    ctx.imageSmoothingEnabled = view.scale < 1
    ctx.drawImage(veil.canvas, 0, 0)
    if (p.mode !== "draw" && p.outline) strokeTwice(ctx, p.outline, 1, unit)
    if (p.wipe > 0 && referenceOf(p)) drawWipe(ctx, p, view, unit)
    drawGesture(ctx, p, unit)
    drawCursor(ctx, p, view, unit)
  }
  p.draws += 1
  // In css px: where the picture is on the screen, for tests.
  Object.assign(p.root.dataset, { draws: p.draws, scale: view.scale / ratio, left: view.x / ratio, top: view.y / ratio })
}

// The reference from the left up to a line.
function drawWipe(ctx, p, view, unit) {
  const x = Math.round(p.wipe * p.width * view.scale) / view.scale
  ctx.save()
  ctx.beginPath()
  ctx.rect(0, 0, x, p.height)
  ctx.clip()
  ctx.imageSmoothingEnabled = !p.small && view.scale < 4 * ratioOf()
  ctx.drawImage(p.layers.reference.canvas, 0, 0)
  ctx.restore()
  ctx.beginPath()
  ctx.moveTo(x, 0)
  ctx.lineTo(x, p.height)
  strokeTwice(ctx, null, 1.5, unit)
}

// The rectangle or lasso that is being drawn.
function drawGesture(ctx, p, unit) {
  const { gesture } = p
  if (gesture?.kind !== "shape") return
  const { points } = gesture
  ctx.beginPath()
  if (gesture.tool === "rectangle") {
    const [a, b] = [points[0], points.at(-1)].map((point) => point.map(Math.floor))
    const [left, top] = [Math.min(a[0], b[0]), Math.min(a[1], b[1])]
    ctx.rect(left, top, Math.max(a[0], b[0]) + 1 - left, Math.max(a[1], b[1]) + 1 - top)
  } else {
    points.forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)))
    ctx.closePath()
  }
  ctx.fillStyle = `rgba(${(gesture.erase ? p.palette.ground : p.palette.model).join()}, 0.35)`
  ctx.fill()
  strokeTwice(ctx, null, 1, unit)
}

const brushTool = (p) => p.tool === "brush" || p.tool === "eraser"

// The brush at its true size; where pixels are large enough to see, exactly those that it will cover.
function drawCursor(ctx, p, view, unit) {
  if (!p.cursor || !brushTool(p) || p.gesture?.kind === "view" || p.space) return
  const { size } = p
  if (p.mode === "draw") {
    ctx.beginPath()
    ctx.arc(...p.cursor, size / 2, 0, 2 * Math.PI)
    return strokeTwice(ctx, null, 1, unit)
  }
  const [cx, cy] = p.cursor.map((value) => snapTo(value, size))
  if (view.scale < 4 * ratioOf() || size > 64) {
    ctx.beginPath()
    ctx.arc(cx, cy, size / 2, 0, 2 * Math.PI)
    return strokeTwice(ctx, null, 1, unit)
  }
  if (p.footprint?.size !== size) {
    const plane = new Uint8Array(size * size)
    const middle = [size / 2, size / 2]
    sweepDisc(middle, middle, size / 2, size, size, (y, from, to) => plane.fill(1, y * size + from, y * size + to))
    p.footprint = { size, path: outlineOf(plane, size, size) }
  }
  ctx.translate(cx - size / 2, cy - size / 2)
  strokeTwice(ctx, p.footprint.path, 1, unit)
}
