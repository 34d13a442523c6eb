// ---- View: where the picture lies on the canvas -------------------------------------
// All lengths are device pixels. p.view is null while the whole picture is shown, else {wanted, x, y}: the
// scale that was asked for and the picture's upper left corner. Small pictures get whole scales, so that
// their pixels stay even squares; `wanted` keeps the fraction, or a slow wheel would never move them.

const MARGIN = 12 // css px around the whole picture
const MAX_SCALE = 48 // css px per image pixel

const ratioOf = () => Math.min(window.devicePixelRatio || 1, 4)

const scaleFor = (p, wanted) => (p.small && wanted >= 1 ? Math.round(wanted) : wanted)

function fitScale(p) {
  const { width, height } = p.canvas
  const room = 2 * MARGIN * ratioOf()
  const most = Math.max(0.01, Math.min((width - room) / p.width, (height - room) / p.height))
  return p.small && most >= 1 ? Math.floor(most) : most
}

// {scale, x, y}
function viewOf(p) {
  const { width, height } = p.canvas
  if (p.view) return { scale: scaleFor(p, p.view.wanted), x: Math.round(p.view.x), y: Math.round(p.view.y) }
  const scale = fitScale(p)
  return { scale, x: Math.round((width - p.width * scale) / 2), y: Math.round((height - p.height * scale) / 2) }
}

// Device pixels of the canvas from an event, and image pixels from those.
function devicePoint(p, event) {
  const [x, y] = sharesIn(p.canvas, event)
  return [x * p.canvas.width, y * p.canvas.height]
}
function imagePoint(p, [x, y]) {
  const view = viewOf(p)
  return [(x - view.x) / view.scale, (y - view.y) / view.scale]
}

// Larger or smaller by a factor; what lies under the point stays there.
function zoomAt(p, factor, [px, py]) {
  const old = viewOf(p)
  const fit = fitScale(p)
  const wanted = clamp((p.view?.wanted ?? old.scale) * factor, fit, Math.max(fit, MAX_SCALE * ratioOf()))
  const scale = scaleFor(p, wanted)
  if (wanted <= fit) p.view = null
  else {
    // From the unrounded corner: an error of half a pixel would grow with every step.
    const { x, y } = p.view || old
    const share = scale / old.scale
    p.view = { wanted, x: px - (px - x) * share, y: py - (py - y) * share }
  }
  keepVisible(p)
  schedule(p)
}

function panBy(p, dx, dy) {
  const { scale, x, y } = viewOf(p)
  p.view = { wanted: p.view?.wanted ?? scale, x: (p.view?.x ?? x) + dx, y: (p.view?.y ?? y) + dy }
  keepVisible(p)
  schedule(p)
}

// A part of the picture always stays on the canvas.
function keepVisible(p) {
  if (!p.view) return
  const { scale } = viewOf(p)
  const stay = 48 * ratioOf()
  const inside = (at, size, room) => clamp(at, Math.min(stay, room / 2) - size, room - Math.min(stay, room / 2))
  p.view.x = inside(p.view.x, p.width * scale, p.canvas.width)
  p.view.y = inside(p.view.y, p.height * scale, p.canvas.height)
}

function resetView(p) {
  p.view = null
  schedule(p)
}

// The canvas has another size: the middle of what was seen stays in the middle.
function resize(p, width, height) {
  const ratio = ratioOf()
  const [w, h] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))]
  const { canvas } = p
  if (canvas.width === w && canvas.height === h) return
  if (p.view) Object.assign(p.view, { x: p.view.x + (w - canvas.width) / 2, y: p.view.y + (h - canvas.height) / 2 })
  Object.assign(canvas, { width: w, height: h })
  // A canvas that is a fraction of a pixel larger than its box would be blurred.
  Object.assign(canvas.style, { width: `${w / ratio}px`, height: `${h / ratio}px` })
  if (p.width) keepVisible(p)
}
