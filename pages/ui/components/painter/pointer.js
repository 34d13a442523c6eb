// ---- Pointer ------------------------------------------------------------------------
// One gesture at a time: {kind: "stroke" | "shape" | "view", pointer, …}. The pointer is captured, so a gesture goes
// on past the border of the canvas and ends wherever the button is released.

function onDown(p, event) {
  if (event.pointerType === "touch") {
    p.touches.set(event.pointerId, devicePoint(p, event))
    if (p.touches.size === 2) return startPinch(p)
    if (p.touches.size > 2) return
  }
  if (p.gesture || !p.plane) return
  const erasing = event.button === 2 || event.button === 5 // a pen's other end is button 5
  if (![0, 1].includes(event.button) && !erasing) return
  p.canvas.setPointerCapture(event.pointerId)
  const device = devicePoint(p, event)
  if (event.button === 1 || p.space) {
    event.preventDefault() // the middle button would start to scroll
    p.gesture = { kind: "view", pointer: event.pointerId, last: device }
    return schedule(p)
  }
  const at = imagePoint(p, device)
  const erase = erasing || p.tool === "eraser"
  p.cursor = at
  if (brushTool(p)) {
    p.gesture = { kind: "stroke", pointer: event.pointerId, erase, last: at }
    dab(p, at)
  } else p.gesture = { kind: "shape", tool: p.tool, pointer: event.pointerId, erase, points: [at] }
  schedule(p)
}

function onMove(p, event) {
  p.pointed = event.timeStamp
  if (p.touches.has(event.pointerId)) p.touches.set(event.pointerId, devicePoint(p, event))
  const { gesture } = p
  if (gesture?.kind === "view") return moveView(p, event)
  if (event.pointerType !== "touch" || gesture) p.cursor = imagePoint(p, devicePoint(p, event))
  schedule(p)
  if (gesture?.pointer !== event.pointerId) return
  for (const each of coalesced(event)) {
    const at = imagePoint(p, devicePoint(p, each))
    gesture.kind === "stroke" ? dab(p, at) : gesture.points.push(at)
  }
}

// Paint from the last place to this one.
function dab(p, at) {
  const { gesture, plane, width, height, size } = p
  const { last, erase } = gesture
  gesture.last = at
  if (p.mode === "draw") return touch(p, sweepSoft(plane, last, at, size / 2, erase, width, height))
  const rect = { left: width, top: height, right: 0, bottom: 0 }
  const [a, b] = [last, at].map((point) => point.map((value) => snapTo(value, size)))
  sweepDisc(a, b, size / 2, width, height, filler(p, erase, rect))
  if (rect.right > rect.left) touch(p, rect)
}

const filler = (p, erase, rect) => (y, from, to) => {
  p.plane.fill(erase ? 0 : 1, y * p.width + from, y * p.width + to)
  rect.left = Math.min(rect.left, from)
  rect.right = Math.max(rect.right, to)
  rect.top = Math.min(rect.top, y)
  rect.bottom = Math.max(rect.bottom, y + 1)
}

function onUp(p, event) {
  p.touches.delete(event.pointerId)
  const { gesture } = p
  if (gesture?.pointer !== event.pointerId && !(gesture?.pinch && p.touches.size < 2)) return
  p.gesture = null
  if (gesture.kind === "shape") {
    const { points, erase } = gesture
    const fill = filler(p, erase, {})
    // A click without a drag is one pixel; where pixels are too small to aim at, it is taken as a mistake.
    if (gesture.tool === "rectangle" && (points.length > 1 || p.small)) sweepBox(points[0], points.at(-1), p.width, p.height, fill)
    else if (gesture.tool === "lasso") sweepLasso(points, p.width, p.height, fill)
    touch(p)
  }
  if (gesture.kind !== "view") commit(p)
  if (event.pointerType === "touch") p.cursor = null
  settle(p)
}

// The gesture is undone, as if it had not started.
function cancelGesture(p) {
  const { gesture } = p
  p.gesture = null
  if (gesture?.kind === "stroke") restore(p, p.now)
  settle(p)
}

function onCancel(p, event) {
  p.touches.delete(event.pointerId)
  if (p.gesture?.pointer === event.pointerId || (p.gesture?.pinch && p.touches.size < 2)) cancelGesture(p)
}

// Data that arrived during the gesture.
function settle(p) {
  const { waiting } = p
  p.waiting = null
  if (waiting) adopt(p, waiting.plane, waiting.revision)
  schedule(p)
}

// Two fingers: what the first one started to paint is undone.
function startPinch(p) {
  if (p.gesture) cancelGesture(p)
  p.cursor = null
  p.gesture = { kind: "view", pinch: grip(p) }
}

// Middle and distance of two fingers.
function grip(p) {
  const [[ax, ay], [bx, by]] = [...p.touches.values()]
  return { middle: [(ax + bx) / 2, (ay + by) / 2], apart: Math.max(1, Math.hypot(bx - ax, by - ay)) }
}

function moveView(p, event) {
  const { gesture } = p
  if (gesture.pinch) {
    if (p.touches.size < 2) return
    const [old, now] = [gesture.pinch, grip(p)]
    gesture.pinch = now
    panBy(p, now.middle[0] - old.middle[0], now.middle[1] - old.middle[1])
    return zoomAt(p, now.apart / old.apart, now.middle)
  }
  if (gesture.pointer !== event.pointerId) return
  const now = devicePoint(p, event)
  panBy(p, now[0] - gesture.last[0], now[1] - gesture.last[1])
  gesture.last = now
}

function onWheel(p, event) {
  if (!p.plane) return
  const lines = { 0: 1, 1: 33, 2: 400 }[event.deltaMode] ?? 1
  const turn = (event.deltaY || event.deltaX) * lines
  if (event.altKey) {
    event.preventDefault()
    return stepSize(p, turn < 0)
  }
  // At the smallest scale the wheel scrolls the page.
  if (turn > 0 && !p.view && !event.ctrlKey) return
  event.preventDefault()
  const device = devicePoint(p, event)
  zoomAt(p, Math.exp(-clamp(turn, -400, 400) * (event.ctrlKey ? 0.01 : 0.002)), device)
  if (p.cursor) p.cursor = imagePoint(p, device)
}
