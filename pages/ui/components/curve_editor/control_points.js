// ---- Control points of the custom schedule: dragged, moved by keys, added, removed --

const MAX_POINTS = 40
const MIN_POINTS = 2
const MIN_GAP = 0.002 // of u, between two neighbours
const KEY_REST = 250 // ms after the last key until the server is told

class ControlPoints {
  // plot: the plot of β. editor: {root, T, changed(step), commit(pairs), settle(), read(step)}.
  constructor(plot, editor) {
    this.plot = plot
    this.editor = editor
    this.points = null // or [{u, v}, ...]
    this.drag = null
    this.keyTimer = 0
    this.sent = new SentValues()
    this.received = null // the points that the server sent last, with their revision
    this.handles = []
    this.polygon = svgElement("polyline", { class: "skeleton" })
    this.layer = svgElement("g")
    plot.lines.append(this.polygon)
    plot.svg.append(this.layer)
    plot.svg.addEventListener("dblclick", (event) => this.addOrRemove(event))
    plot.svg.addEventListener("pointerup", (event) => this.tap(event))
  }

  get busy() {
    return Boolean(this.drag || this.keyTimer)
  }

  dispose() {
    clearTimeout(this.keyTimer)
  }

  // Take the server's points unless they were sent from here.
  adopt({ points, rev }) {
    if (!points) {
      this.points = null
      this.received = null
      this.sent.clear()
      return
    }
    const received = { rev, text: JSON.stringify(points) }
    const before = this.received
    const sameRevision = before?.rev === rev
    const returned = sameRevision && this.sent.returned(points)
    const unchanged = sameRevision && before.text === received.text && this.points
    this.received = received
    if (returned || unchanged) return
    this.sent.clear()
    this.points = pointsFrom(points)
  }

  commit() {
    const pairs = pairsFrom(this.points)
    this.sent.add(pairs)
    this.editor.commit(pairs)
  }

  // ---- Drawing ----

  draw(colour) {
    const points = this.points || []
    const { plot } = this
    const { root, T } = this.editor
    root.classList.toggle("editable", points.length > 0)
    root.style.setProperty("--custom", colour)
    while (this.handles.length > points.length) this.handles.pop().remove()
    while (this.handles.length < points.length) this.handles.push(this.createHandle(this.handles.length))
    points.forEach(({ u, v }, i) => {
      const handle = this.handles[i]
      setAttributes(handle, {
        transform: `translate(${plot.x(u).toFixed(1)} ${plot.y(v).toFixed(1)})`,
        "aria-label": `Control point ${i + 1} of ${points.length} of the custom schedule`,
        "aria-valuenow": v.toFixed(3),
        "aria-valuetext": `step ${Math.round(1 + u * (T - 1))} of ${T}, beta ${Number((10 ** v).toPrecision(3))}`,
      })
      handle.children[2].setAttribute("stroke", colour)
      handle.classList.toggle("held", this.drag?.index === i)
    })
    setAttributes(this.polygon, {
      stroke: colour, points: points.map(({ u, v }) => `${plot.x(u).toFixed(1)},${plot.y(v).toFixed(1)}`).join(" "),
    })
  }

  createHandle(index) {
    const handle = svgElement("g", {
      class: "handle", tabindex: "0", role: "slider", "data-index": index,
      "aria-valuemin": LOG_BETA_MIN, "aria-valuemax": 0, "aria-orientation": "vertical",
    }, ...[["reach", 16], ["ring", 11], ["knob", 6.5]].map(([name, r]) => svgElement("circle", { class: name, r })))
    this.layer.append(handle)
    handle.addEventListener("pointerdown", (event) => this.startDrag(index, event))
    // Browsers do not reliably apply touch-action inside an svg and would scroll the page instead.
    handle.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false })
    handle.addEventListener("pointermove", (event) => this.moveDrag(event))
    handle.addEventListener("pointerup", (event) => this.endDrag(event))
    handle.addEventListener("pointercancel", (event) => this.endDrag(event))
    handle.addEventListener("keydown", (event) => this.key(index, event))
    handle.addEventListener("blur", () => this.editor.read(null))
    return handle
  }

  // ---- Dragging ----

  startDrag(index, event) {
    if (event.button !== 0 || this.drag) return
    if (this.keyTimer) this.finishKeys()
    this.handles[index].setPointerCapture(event.pointerId)
    const [x, y] = pointIn(this.plot.svg, event)
    const { u, v } = this.points[index]
    // The point keeps its offset from the pointer, so that it does not move when it is pressed.
    this.drag = {
      index,
      pointer: event.pointerId,
      dx: this.plot.x(u) - x,
      dy: this.plot.y(v) - y,
      before: this.points.map((point) => ({ ...point })),
      moved: false,
    }
    this.editor.changed(this.stepOf(index))
  }

  moveDrag(event) {
    if (this.drag?.pointer !== event.pointerId) return
    const [x, y] = pointIn(this.plot.svg, event)
    const { index, dx, dy, before } = this.drag
    const distance = Math.hypot(x + dx - this.plot.x(before[index].u), y + dy - this.plot.y(before[index].v))
    if (distance <= 2 && !this.drag.moved) return
    this.drag.moved = true
    this.place(index, this.plot.u(x + dx), this.plot.logBeta(y + dy))
  }

  endDrag(event) {
    if (this.drag?.pointer !== event.pointerId) return
    const { index, moved, before } = this.drag
    this.drag = null
    if (event.type === "pointercancel") this.points = before
    else if (moved) this.commit()
    this.editor.changed(this.stepOf(index))
    this.editor.settle()
  }

  stepOf(index) {
    return Math.round(this.points[index].u * (this.editor.T - 1))
  }

  place(index, u, v) {
    const point = this.points[index]
    const last = this.points.length - 1
    if (index > 0 && index < last) {
      point.u = clamp(u, this.points[index - 1].u + MIN_GAP, this.points[index + 1].u - MIN_GAP)
    }
    point.v = clamp(v, LOG_BETA_MIN, 0)
    this.editor.changed(this.stepOf(index))
  }

  // ---- Keyboard ----

  key(index, event) {
    if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault()
      event.stopPropagation()
      this.remove(index)
      return
    }
    const fine = event.shiftKey ? 0.1 : 1
    const move = {
      ArrowLeft: [-0.01 * fine, 0], ArrowRight: [0.01 * fine, 0], ArrowUp: [0, 0.02 * fine], ArrowDown: [0, -0.02 * fine],
      PageUp: [0, 0.2], PageDown: [0, -0.2],
    }[event.key]
    if (!move || this.drag) return
    event.preventDefault()
    event.stopPropagation()
    const { u, v } = this.points[index]
    this.place(index, u + move[0], v + move[1])
    // A key that is held down repeats: the server is told once, after the last one.
    clearTimeout(this.keyTimer)
    this.keyTimer = setTimeout(() => this.finishKeys(), KEY_REST)
  }

  finishKeys() {
    clearTimeout(this.keyTimer)
    this.keyTimer = 0
    this.commit()
    this.editor.settle()
  }

  // ---- Adding and removing ----

  // Fingers do not reliably produce dblclick, so two quick taps are recognised here.
  tap(event) {
    if (event.pointerType !== "touch") return
    const previous = this.lastTap
    this.lastTap = { time: event.timeStamp, x: event.clientX, y: event.clientY }
    if (!previous || event.timeStamp - previous.time > 350) return
    if (Math.hypot(event.clientX - previous.x, event.clientY - previous.y) > 24) return
    this.lastTap = null
    this.addOrRemove(event)
  }

  addOrRemove(event) {
    // After two taps some browsers also send dblclick.
    if (!this.points || event.timeStamp - (this.lastDouble ?? -1000) < 400) return
    this.lastDouble = event.timeStamp
    event.preventDefault()
    const handle = event.target.closest(".handle")
    if (handle) this.remove(Number(handle.dataset.index))
    else this.add(...pointIn(this.plot.svg, event))
  }

  add(x, y) {
    const { plot } = this
    if (this.points.length >= MAX_POINTS) return
    if (x < plot.x0 || x > plot.x1 || y < plot.y0 - 8 || y > plot.y1 + 8) return
    const u = plot.u(x)
    const i = this.points.findIndex((point) => point.u > u)
    if (i < 1 || u - this.points[i - 1].u < MIN_GAP || this.points[i].u - u < MIN_GAP) return
    const onCurve = interpolate(this.points, u)
    const v = Math.abs(plot.y(onCurve) - y) < 10 ? onCurve : plot.logBeta(y)
    this.points.splice(i, 0, { u, v })
    this.finishEdit(i)
  }

  remove(index) {
    if (this.drag || this.points.length <= MIN_POINTS) return
    this.points.splice(index, 1)
    this.points[0].u = 0
    this.points.at(-1).u = 1
    this.finishEdit(Math.min(index, this.points.length - 1))
  }

  finishEdit(focused) {
    clearTimeout(this.keyTimer)
    this.keyTimer = 0
    this.editor.redraw()
    this.handles[focused].focus({ preventScroll: true })
    this.commit()
    this.editor.settle()
  }
}
