// ---- Painter: one object holds its state -----------------------------------------------
// p.plane: what is painted, see payload.js; p.now: the same as run lengths; p.revision: of the server's plane that it is
// based on; p.gesture: see pointer.js; p.dirty: the rectangle that changed since the last frame, or null.

function createPainter(parent) {
  const p = {
    mode: "mask", width: 0, height: 0, small: false, image: null, plane: null, result: null, before: null,
    revision: null, waiting: null, number: 0, sender: Math.random().toString(36).slice(2), bytes: null,
    now: new Uint32Array(), undo: [], redo: [], tool: "brush", size: 1, wipe: 0, view: null, gesture: null,
    touches: new Map(), cursor: null, over: false, pointed: 0, typed: 0, space: false, comparing: false, dirty: null, outline: null,
    layers: null, palette: null, draws: 0, setStateValue: () => {}, listeners: new Listeners(),
  }
  p.frame = new FrameRequest(() => render(p))
  p.canvas = el("canvas", { tabindex: "0", role: "application" })
  p.stage = el("div", { class: "stage" }, p.canvas)
  p.error = el("p", { class: "error", role: "alert" })
  p.error.hidden = true
  const bar = buildToolbar(p)
  p.body = el("div", { class: "body" }, bar, p.stage, ...buildFoot(p))
  p.root = el("div", { class: "dpm-painter" }, p.error, p.body)
  parent.append(p.root)
  listen(p)
  return p
}

// ---- Data ---------------------------------------------------------------------------

function receive(p, data) {
  if (sameValues(p.bytes, data)) return
  const next = parsePayload(data)
  p.bytes = data.slice()
  const { mode, width, height, small, image, result, before } = next
  const replaced = mode !== p.mode || width !== p.width || height !== p.height
  if (replaced) startOver(p, next)
  Object.assign(p, { mode, width, height, small, image, before, result })
  p.stage.style.setProperty("--tall", next.tall ? `${next.tall}px` : null)
  if (!referenceOf(p)) setWipe(p, 0)
  if (replaced) Object.assign(p, { revision: next.revision, plane: next.plane, now: snapshotOf({ plane: next.plane, mode }) })
  else if (next.revision !== p.revision) {
    if (p.gesture) p.waiting = next
    else adopt(p, next.plane, next.revision)
  }
  touch(p)
  showState(p)
}

// A picture of another size: neither the plane nor the undo stack fits it.
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

// ---- Listeners ---------------------------------------------------------------------------

function listen(p) {
  const on = (target, type, act, options) => p.listeners.add(target, type, (event) => act(p, event), options)
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
  // A click gives the canvas the keyboard focus: a clicked button must not receive the Space key afterwards.
  on(p.root, "mousedown", (_, event) => {
    if (event.target.closest("button,canvas")) event.preventDefault()
  })
  on(p.root, "pointerdown", (_, event) => {
    p.root.classList.add("pointed") // only keyboard users need a ring around the canvas
    if (event.target.closest("button:not([data-act=compare]),canvas")) p.canvas.focus({ preventScroll: true })
  })
  p.resizer = new ResizeObserver(() => measure(p))
  p.resizer.observe(p.stage)
}

function measure(p) {
  resize(p, p.stage.clientWidth, p.stage.clientHeight)
  // Drawn immediately: a new size clears the canvas, and it would be shown empty.
  render(p)
}

function dispose(p) {
  p.frame.cancel()
  p.listeners.removeAll()
  p.resizer.disconnect()
  p.root.remove()
}

// The colours that the style sheet gives this theme.
function readPalette(p) {
  applyTheme(p.root)
  const ground = variableColour(p.root, "--st-background-color", "#fbfaf7")
  const model = variableColour(p.root, "--model")
  if (p.plane && String(model) !== String(p.palette?.model)) touch(p)
  p.palette = { ground, model }
}

// The server assumes that a picture is here which is not: it answers a message with an empty list by sending all of
// them. The message holds no run lengths, so it changes nothing else.
function requestPictures(p) {
  p.number += 1
  const message = { sender: p.sender, number: p.number, revision: null, have: [], runs: null }
  setTimeout(() => p.setStateValue("painting", message))
}

export default function ({ data, parentElement, setStateValue }) {
  const p = instanceFor(parentElement, createPainter)
  p.setStateValue = setStateValue
  readPalette(p)
  try {
    receive(p, data)
    p.error.hidden = true
  } catch (error) {
    if (error instanceof MissingPicture) requestPictures(p)
    else p.error.textContent = error.name === "Error" ? error.message : "The picture could not be shown."
    p.error.hidden = error instanceof MissingPicture
  }
  p.body.hidden = !p.plane
  measure(p)
  return disposeWhenRemoved(parentElement, p, dispose)
}
