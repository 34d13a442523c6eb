// ---- Sketch pad: state, buttons, pointer --------------------------------------------

const MAX_UNDO = 60

class Pad {
  constructor(parent) {
    this.strokes = [] // as drawn
    this.data = [] // the points of the data set on them, flat per stroke
    this.undoStack = []
    this.sent = new SentValues()
    this.id = null // of the server's drawing that was shown last
    this.gesture = null
    this.frame = new FrameRequest(() => this.draw())
    this.build(parent)
    this.observer = new ResizeObserver(() => this.resize())
    this.observer.observe(this.canvas)
  }

  build(parent) {
    this.canvas = el("canvas", { tabindex: "0", role: "img" })
    this.empty = el("div", { class: "empty" }, el("span", {}, "Draw a shape here"))
    this.eraser = el("div", { class: "eraser off" })
    this.pad = el("div", { class: "pad" }, this.canvas, this.empty, this.eraser)
    const button = (label, act) => el("button", { type: "button", onclick: act }, label)
    this.eraseButton = button("Erase", () => this.setErasing(!this.erasing))
    this.undoButton = button("Undo", () => this.undo())
    this.clearButton = button("Clear", () => this.clear())
    this.root = el("div", { class: "dpm-sketch" }, this.pad,
      el("div", { class: "tools" }, this.eraseButton, this.undoButton, this.clearButton))
    parent.append(this.root)
    this.setErasing(false)

    this.canvas.addEventListener("pointerdown", (event) => this.down(event))
    this.canvas.addEventListener("pointermove", (event) => this.move(event))
    this.canvas.addEventListener("pointerup", (event) => this.up(event))
    this.canvas.addEventListener("pointercancel", (event) => this.cancel(event))
    this.canvas.addEventListener("pointerleave", () => this.eraser.classList.add("off"))
    this.root.addEventListener("keydown", (event) => {
      if (!(event.ctrlKey || event.metaKey) || event.shiftKey || event.key.toLowerCase() !== "z") return
      event.preventDefault()
      event.stopPropagation()
      this.undo()
    })
  }

  dispose() {
    this.observer.disconnect()
    this.frame.cancel()
    this.density?.removeEventListener("change", this.onDensity)
  }

  // ---- Data ----

  receive(data) {
    applyTheme(this.root)
    if (this.gesture) this.pending = data
    else this.adopt(data)
    this.frame.request()
  }

  // Show the server's drawing unless it is what was sent from here.
  adopt({ id, strokes }) {
    if (id === this.id) return
    this.id = id
    if (this.sent.returned(strokes)) return
    this.sent.clear()
    this.undoStack = []
    this.show(strokesOf(strokes), strokes)
  }

  show(strokes, data) {
    this.strokes = strokes
    this.data = data
    // On an empty pad there is nothing to erase.
    if (!strokes.length) this.setErasing(false)
    this.refresh()
  }

  refresh() {
    const count = this.data.reduce((sum, stroke) => sum + stroke.length / 2, 0)
    this.empty.classList.toggle("off", count > 0 || Boolean(this.gesture))
    this.undoButton.disabled = !this.undoStack.length
    this.clearButton.disabled = !count
    this.canvas.setAttribute("aria-label", count ? `Drawing pad with ${count} points` : "Empty drawing pad")
    this.frame.request()
  }

  commit(strokes) {
    this.show(strokes, dataOf(strokes))
    this.sent.add(this.data)
    this.setStateValue("strokes", this.data)
  }

  // The drawing before a change, for undo.
  remember(strokes) {
    this.undoStack.push(strokes)
    if (this.undoStack.length > MAX_UNDO) this.undoStack.shift()
  }

  undo() {
    if (this.gesture || !this.undoStack.length) return
    this.commit(this.undoStack.pop())
  }

  clear() {
    if (this.gesture || !this.strokes.length) return
    this.remember(this.strokes)
    this.commit([])
  }

  setErasing(on) {
    this.erasing = on
    this.eraseButton.setAttribute("aria-pressed", String(on))
    this.pad.classList.toggle("erasing", on)
    this.eraser.classList.add("off")
  }

  // ---- Pointer ----

  place(event) {
    const [x, y] = sharesIn(this.canvas, event)
    return [clamp(x * SIDE, 0, SIDE), clamp((1 - y) * SIDE, 0, SIDE)]
  }

  down(event) {
    if (event.button !== 0 || this.gesture) return
    this.canvas.setPointerCapture(event.pointerId)
    const place = this.place(event)
    this.gesture = { pointer: event.pointerId, before: this.strokes, last: place, stroke: null }
    if (this.erasing) {
      this.strokes = erase(this.strokes, place, place)
    } else {
      this.gesture.stroke = [place]
      this.strokes = [...this.strokes, this.gesture.stroke]
    }
    this.showEraser(event)
    this.refresh()
  }

  move(event) {
    this.showEraser(event)
    if (this.gesture?.pointer !== event.pointerId) return
    for (const each of coalesced(event)) this.extend(this.place(each))
    this.frame.request()
  }

  extend(place) {
    const { last, stroke } = this.gesture
    if (Math.hypot(place[0] - last[0], place[1] - last[1]) < DRAWN_SPACING) return
    if (stroke) stroke.push(place)
    else this.strokes = erase(this.strokes, last, place)
    this.gesture.last = place
  }

  up(event) {
    if (this.gesture?.pointer !== event.pointerId) return
    const { before, stroke } = this.gesture
    const { strokes } = this
    this.gesture = null
    const changed = stroke || strokes.length !== before.length || strokes.some((each, i) => each !== before[i])
    if (changed) {
      this.remember(before)
      this.commit(strokes)
    }
    this.settle()
  }

  cancel(event) {
    if (this.gesture?.pointer !== event.pointerId) return
    this.strokes = this.gesture.before
    this.gesture = null
    this.settle()
  }

  // Data that arrived during the gesture.
  settle() {
    const data = this.pending
    this.pending = null
    if (data) this.adopt(data)
    this.refresh()
  }

  showEraser(event) {
    const visible = this.erasing && (event.pointerType !== "touch" || this.gesture)
    this.eraser.classList.toggle("off", !visible)
    if (!visible) return
    const [x, y] = pointIn(this.canvas, event)
    const radius = (ERASER_RADIUS / SIDE) * this.canvas.getBoundingClientRect().width
    Object.assign(this.eraser.style, {
      width: `${2 * radius}px`,
      height: `${2 * radius}px`,
      transform: `translate(${x - radius}px, ${y - radius}px)`,
    })
  }

  // ---- Canvas ----

  resize() {
    // Moving to a screen of another pixel density changes no CSS size, so it is observed separately.
    this.density?.removeEventListener("change", this.onDensity)
    this.density = matchMedia(`(resolution: ${devicePixelRatio}dppx)`)
    this.onDensity = () => this.resize()
    this.density.addEventListener("change", this.onDensity)
    this.canvas.width = Math.max(1, Math.round(this.canvas.clientWidth * devicePixelRatio))
    this.canvas.height = Math.max(1, Math.round(this.canvas.clientHeight * devicePixelRatio))
    this.draw()
  }

  draw() {
    drawPad(this.canvas, getComputedStyle(this.root), this.strokes, this.gesture ? dataOf(this.strokes) : this.data)
  }
}

export default function ({ data, parentElement, setStateValue }) {
  const pad = instanceFor(parentElement, (parent) => new Pad(parent))
  pad.setStateValue = setStateValue
  pad.receive(data)
  return disposeWhenRemoved(parentElement, pad, () => pad.dispose())
}
