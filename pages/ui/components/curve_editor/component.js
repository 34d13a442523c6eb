// ---- Curve editor: log SNR and β of several schedules, one of them editable ---------

class Editor {
  constructor(parent) {
    this.curves = []
    this.custom = undefined // the curve that follows the control points
    this.slots = new Map() // schedule name → number of its colour and dash
    this.highlighted = null
    this.T = 2
    this.step = null // index of the marked step, from 0
    this.frame = new FrameRequest(() => this.draw())
    this.build(parent)
    this.observer = new ResizeObserver(() => this.resize())
    for (const plot of this.plots) this.observer.observe(plot.frame)
  }

  build(parent) {
    this.snr = new Plot("snr", 44, 8, [el("b", {}, "Log signal-to-noise ratio"), ", log SNR", el("sub", {}, "t"), ", in nats"],
      "Log signal-to-noise ratio of each schedule; the left and right arrow keys read one step")
    this.beta = new Plot("beta", 74, 15, [el("b", {}, "Noise schedule"), " ", ...symbol("β"), ", on a logarithmic axis"],
      "Beta of each schedule, on a logarithmic axis")
    setAttributes(this.snr.svg, { tabindex: "0", role: "img" })
    this.beta.svg.setAttribute("role", "group")
    this.plots = [this.snr, this.beta]
    this.legend = new Legend((name) => this.highlight(name))
    this.root = el("div", { class: "dpm-curve" }, el("div", { class: "plots" }, this.snr.panel, this.beta.panel), this.legend.root)
    this.control = new ControlPoints(this.beta, this)
    parent.append(this.root)

    for (const plot of this.plots) {
      plot.svg.addEventListener("pointermove", (event) => this.hover(plot, event))
      plot.svg.addEventListener("pointerdown", (event) => this.hover(plot, event))
      plot.svg.addEventListener("pointerleave", (event) => {
        // A finger leaves when it is lifted: the values it asked for remain.
        if (event.pointerType !== "touch" && !this.control.drag) this.read(null)
      })
    }
    this.snr.svg.addEventListener("keydown", (event) => this.key(event))
    this.snr.svg.addEventListener("blur", () => this.read(null))
  }

  dispose() {
    this.observer.disconnect()
    this.frame.cancel()
    this.control.dispose()
  }

  // ---- Data ----

  receive(data) {
    applyTheme(this.root)
    if (this.control.busy) this.pending = data
    else this.adopt(data)
  }

  // Data that arrived during an edit.
  settle() {
    const data = this.pending
    this.pending = null
    if (data) this.adopt(data)
  }

  adopt(data) {
    this.T = Math.max(1, data.T)
    const shown = new Set(data.curves.map((curve) => curve.name))
    for (const name of [...this.slots.keys()]) if (!shown.has(name)) this.slots.delete(name)
    this.curves = data.curves.map((curve) => ({
      name: curve.name, label: curve.label, slot: this.slotOf(curve), ...receivedCurve(curve),
    }))
    this.control.adopt(data)
    this.custom = this.curves.find((curve) => curve.name === "custom")
    if (!this.custom) this.control.points = null
    this.recompute()
    if (this.step !== null) this.step = Math.min(this.step, this.T - 1)
    if (!shown.has(this.highlighted)) this.highlighted = null
    this.legend.show(this.curves, Boolean(this.control.points))
    this.resize()
  }

  // Colour and dash belong to the schedule, not to its place in the list.
  slotOf(curve) {
    if (Number.isInteger(curve.slot)) this.slots.set(curve.name, curve.slot % DASHES.length)
    if (!this.slots.has(curve.name)) {
      const taken = new Set(this.slots.values())
      const free = DASHES.findIndex((_, i) => !taken.has(i))
      this.slots.set(curve.name, Math.max(0, free))
    }
    return this.slots.get(curve.name)
  }

  recompute() {
    if (this.control.points) Object.assign(this.custom, scheduleOf(this.control.points, this.T))
  }

  // ---- Edits, told by the control points ----

  changed(step) {
    this.step = step
    this.recompute()
    this.frame.request()
  }

  redraw() {
    this.recompute()
    this.draw()
  }

  commit(pairs) {
    this.setStateValue("points", pairs)
  }

  // ---- Drawing ----

  resize() {
    for (const plot of this.plots) {
      plot.measure()
      plot.drawAxes(this.T)
    }
    this.draw()
  }

  draw() {
    for (const plot of this.plots) {
      plot.drawCurves(this.curves, this.T, this.highlighted)
      if (this.custom) plot.toFront(this.custom)
    }
    this.control.draw(this.custom ? colourOf(this.custom) : "none")
    for (const plot of this.plots) plot.drawMarks(this.curves, this.T, this.step)
    this.legend.read(this.step, this.T)
  }

  highlight(name) {
    this.highlighted = name
    this.frame.request()
  }

  // ---- Reading one step ----

  hover(plot, event) {
    if (this.control.drag) return
    const [x] = pointIn(plot.svg, event)
    this.read(Math.round(plot.u(x) * (this.T - 1)))
  }

  read(step) {
    if (step === this.step) return
    this.step = step
    this.frame.request()
  }

  key(event) {
    const direction = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
    if (!direction) return
    event.preventDefault()
    event.stopPropagation()
    const from = this.step ?? Math.round((this.T - 1) / 2)
    this.read(clamp(from + direction * (event.shiftKey ? 10 : 1), 0, this.T - 1))
  }
}

export default function ({ data, parentElement, setStateValue }) {
  const editor = instanceFor(parentElement, (parent) => new Editor(parent))
  editor.setStateValue = setStateValue
  editor.receive(data)
  return disposeWhenRemoved(parentElement, editor, () => editor.dispose())
}
