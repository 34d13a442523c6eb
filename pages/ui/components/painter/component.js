// ---- Painter: state, data, life -----------------------------------------------------

// State outlives the calls of the component function, which comes again with new data or
// another theme for the same parent element.
const painters = new WeakMap()

function createPainter(host) {
  const p = {
    host, mode: "mask", width: 0, height: 0, small: false, image: null, plane: null, result: null, before: null,
    revision: null, waiting: null, number: 0, sender: Math.random().toString(36).slice(2), bytes: null,
    now: new Uint32Array(), undo: [], redo: [], tool: "brush", size: 1, wipe: 0, view: null, gesture: null,
    touches: new Map(), cursor: null, over: false, pointed: 0, typed: 0, space: false, comparing: false, dirty: null, outline: null,
    layers: null, palette: null, request: 0, draws: 0, setStateValue: () => {}, undoListening: [],
  }
  p.canvas = el("canvas", { tabindex: "0", role: "application" })
  p.stage = el("div", { class: "stage" }, p.canvas)
  p.error = el("p", { class: "error", role: "alert" })
  p.error.hidden = true
  const bar = buildToolbar(p)
  p.body = el("div", { class: "body" }, bar, p.stage, ...buildFoot(p))
  p.root = el("div", { class: "dpm-painter" }, p.error, p.body)
  host.append(p.root)
  listen(p)
  return p
}

// ---- Data ---------------------------------------------------------------------------

function receive(p, data) {
  if (same(p.bytes, data)) return
  const next = parsePayload(data)
  p.bytes = data.slice()
  const { mode, width, height, small, image, result, before } = next
  const another = mode !== p.mode || width !== p.width || height !== p.height
  if (another) startOver(p, next)
  Object.assign(p, { mode, width, height, small, image, before, result })
  p.stage.style.setProperty("--tall", next.tall ? `${next.tall}px` : null)
  if (!referenceOf(p)) setWipe(p, 0)
  if (another) Object.assign(p, { revision: next.revision, plane: next.plane, now: snapshotOf({ plane: next.plane, mode }) })
  else if (next.revision !== p.revision) {
    if (p.gesture) p.waiting = next
    else adopt(p, next.plane, next.revision)
  }
  touch(p)
  showState(p)
}

// A picture of another size: nothing that was painted or undone fits it.
function startOver(p, { mode, width, height }) {
  Object.assign(p, { gesture: null, waiting: null, undo: [], redo: [], view: null, cursor: null, footprint: null })
  if (mode !== p.mode) p.tool = "brush"
  p.layers = { shown: layer(width, height), veil: layer(width, height), reference: layer(width, height) }
  Object.assign(p, { mode, width, height, image: null, before: null })
  p.size = clamp(Math.round(Math.max(width, height) / (mode === "draw" ? 12 : 16)), 1, largestBrush(p))
  p.slider.value = sliderOf(p)
}

function setWipe(p, share) {
  p.wipe = share
  p.wiper.value = 100 * share
}

// ---- Life ---------------------------------------------------------------------------

function listen(p) {
  const on = (target, type, act, options) => {
    const call = (event) => act(p, event)
    target.addEventListener(type, call, options)
    p.undoListening.push(() => target.removeEventListener(type, call, options))
  }
  on(p.canvas, "pointerdown", onDown)
  on(p.canvas, "pointermove", onMove)
  on(p.canvas, "pointerup", onUp)
  on(p.canvas, "pointercancel", onCancel)
  on(p.canvas, "lostpointercapture", onCancel)
  on(p.canvas, "pointerenter", () => (p.over = true))
  on(p.canvas, "pointerleave", () => {
    p.over = false
    if (!p.gesture) p.cursor = null
    releaseKeys(p)
  })
  on(p.canvas, "contextmenu", (_, event) => event.preventDefault())
  on(p.canvas, "blur", () => schedule(p))
  on(p.stage, "wheel", onWheel, { passive: false })
  on(window, "keydown", onKeyDown, { capture: true })
  on(window, "keyup", onKeyUp, { capture: true })
  on(window, "blur", releaseKeys)
  on(window, "resize", measure) // also comes when the page is zoomed
  // The keyboard follows the pointer: a clicked button must not keep the space key.
  on(p.root, "mousedown", (_, event) => {
    if (event.target.closest("button,canvas")) event.preventDefault()
  })
  on(p.root, "pointerdown", (_, event) => {
    p.root.classList.add("pointed") // a ring around the canvas is for those who come by keyboard
    if (event.target.closest("button:not([data-act=compare]),canvas")) p.canvas.focus({ preventScroll: true })
  })
  p.resizer = new ResizeObserver(() => measure(p))
  p.resizer.observe(p.stage)
}

function measure(p) {
  resize(p, p.stage.clientWidth, p.stage.clientHeight)
  // Drawn at once: the canvas is still empty at its new size before the next paint.
  render(p)
}

function dispose(p) {
  cancelAnimationFrame(p.request)
  for (const undoOne of p.undoListening) undoOne()
  p.resizer.disconnect()
  painters.delete(p.host)
  p.root.remove()
}

// Reads the colours that the style sheet gives this theme.
function readPalette(p) {
  const numbers = (text) => {
    const probe = el("span", { style: `color: ${text}` })
    p.root.append(probe)
    const rgb = (getComputedStyle(probe).color.match(/[\d.]+/g) || [255, 255, 255]).slice(0, 3).map(Number)
    probe.remove()
    return rgb
  }
  const ground = numbers("var(--st-background-color, #fbfaf7)")
  p.root.dataset.theme = 0.2126 * ground[0] + 0.7152 * ground[1] + 0.0722 * ground[2] < 128 ? "dark" : "light"
  const model = numbers("var(--model)")
  if (p.plane && String(model) !== String(p.palette?.model)) touch(p)
  p.palette = { ground, model }
}

// The server believes that a picture is here which is not: a message without any is answered with all of them. No run
// lengths go with it, so it changes nothing else.
function askAgain(p) {
  p.number += 1
  const message = { sender: p.sender, number: p.number, revision: null, have: [], runs: null }
  setTimeout(() => p.setStateValue("painting", message))
}

export default function ({ data, parentElement, setStateValue }) {
  const p = painters.get(parentElement) || createPainter(parentElement)
  painters.set(parentElement, p)
  p.setStateValue = setStateValue
  readPalette(p)
  try {
    receive(p, data)
    p.error.hidden = true
  } catch (error) {
    if (error instanceof MissingPicture) askAgain(p)
    else p.error.textContent = error.name === "Error" ? error.message : "The picture could not be shown."
    p.error.hidden = error instanceof MissingPicture
  }
  p.body.hidden = !p.plane
  measure(p)
  // A call that was overtaken by a newer one is cleaned up although its element lives
  // on, so only an element that has left the page is taken down.
  return () => setTimeout(() => {
    if (!p.root.isConnected) dispose(p)
  })
}
