// ---- One plot: axes, curves, the marked step ----------------------------------------

const DASHES = ["", "8 4", "2 3", "11 3 2 3", "15 4", "7 2 2 2 2 2", "4 4", "12 3", "2 6"]
const SNR_MAX = 12
const MAX_VERTICES = 400
const INFINITE_SNR = 60 // drawn in place of infinity: well outside the frame
const LOG_ZERO = -12 // drawn in place of log10 0
const SLACK = 4 // px, so that lines and dots on the edge of the frame are not cut
const MARGIN = { top: 12, right: 18, bottom: 30 }
const AXES = {
  snr: [-12, -8, -4, 0, 4, 8, 12].map((value) => [value, withMinus(value)]),
  beta: [0, -1, -2, -3, -4, -5].map((value) => [value, value ? (10 ** value).toFixed(-value) : "1"]),
}

const colourOf = (curve) => `var(--c${curve.slot})`
const dashOf = (curve) => DASHES[curve.slot] || "none"
const shareOfStep = (i, T) => (T > 1 ? i / (T - 1) : 0.5)

// Indices of the steps to draw: all of them, or about 400 at equal distances with both ends.
function verticesOf(T) {
  const n = Math.min(T, MAX_VERTICES)
  return Array.from({ length: n }, (_, i) => (n > 1 ? Math.round((i * (T - 1)) / (n - 1)) : 0))
}

function stepTicks(T, width) {
  const room = clamp(Math.floor(width / 64), 1, 6)
  let size = 1
  for (let scale = 1; (T - 1) / size > room; scale *= 10) {
    for (const factor of [1, 2, 5]) {
      size = factor * scale
      if ((T - 1) / size <= room) break
    }
  }
  const ticks = [1]
  for (let t = size; t < T; t += size) {
    if (t - 1 >= 0.6 * size && T - t >= 0.6 * size) ticks.push(t)
  }
  if (T > 1) ticks.push(T)
  return ticks
}

class Plot {
  // kind: "snr" or "beta"; left: px for the tick labels; pad: px between these and the frame.
  constructor(kind, left, pad, heading, label) {
    this.kind = kind
    this.left = left
    this.pad = pad
    this.axes = svgElement("g", { "aria-hidden": "true" })
    this.lines = svgElement("g")
    // A nested svg clips its content without an id, which two instances could share.
    this.window = svgElement("svg", { overflow: "hidden", "aria-hidden": "true" }, this.lines)
    this.marks = svgElement("g", { "aria-hidden": "true" })
    this.svg = svgElement("svg", { "aria-label": label }, this.axes, this.window, this.marks)
    this.frame = el("div", { class: `frame ${kind}` }, this.svg)
    this.panel = el("div", { class: "panel" }, el("div", { class: "heading" }, ...heading), this.frame)
    this.groups = new Map()
  }

  measure() {
    this.width = this.frame.clientWidth
    this.height = this.frame.clientHeight
    this.x0 = this.left
    this.x1 = Math.max(this.x0 + 10, this.width - MARGIN.right)
    this.y0 = MARGIN.top
    this.y1 = Math.max(this.y0 + 10, this.height - MARGIN.bottom)
    setAttributes(this.window, {
      x: this.x0 - SLACK, y: this.y0 - SLACK, width: this.x1 - this.x0 + 2 * SLACK, height: this.y1 - this.y0 + 2 * SLACK,
    })
    this.lines.setAttribute("transform", `translate(${SLACK - this.x0} ${SLACK - this.y0})`)
  }

  x(u) {
    return this.x0 + u * (this.x1 - this.x0)
  }

  // value: log SNR in nats, or log10 β.
  y(value) {
    const share = this.kind === "snr" ? (SNR_MAX - value) / (2 * SNR_MAX) : value / LOG_BETA_MIN
    return this.y0 + share * (this.y1 - this.y0)
  }

  u(x) {
    return clamp((x - this.x0) / (this.x1 - this.x0), 0, 1)
  }

  logBeta(y) {
    return clamp((LOG_BETA_MIN * (y - this.y0)) / (this.y1 - this.y0), LOG_BETA_MIN, 0)
  }

  value(curve, i) {
    if (this.kind === "snr") return clamp(curve.logSnr[i], -INFINITE_SNR, INFINITE_SNR)
    return curve.beta[i] > 0 ? Math.max(Math.log10(curve.beta[i]), LOG_ZERO) : LOG_ZERO
  }

  drawAxes(T) {
    this.axes.replaceChildren()
    this.stepLabels = []
    for (const [value, label] of AXES[this.kind]) {
      const y = Math.round(this.y(value)) + 0.5
      const zero = this.kind === "snr" && value === 0
      this.axes.append(
        svgElement("line", { class: zero ? "grid zero" : "grid", x1: this.x0, x2: this.x1, y1: y, y2: y }),
        svgElement("text", { class: "tick", x: this.x0 - this.pad, y: y + 4, "text-anchor": "end" }, label))
    }
    for (const t of stepTicks(T, this.x1 - this.x0)) {
      const x = this.x(shareOfStep(t - 1, T))
      const text = svgElement("text", { class: "tick", x, y: this.y1 + 20, "text-anchor": "middle" }, t === 1 ? "t = 1" : String(t))
      this.axes.append(svgElement("line", { class: "grid", x1: x, x2: x, y1: this.y1, y2: this.y1 + 5 }), text)
      this.stepLabels.push({ text, x, half: text.textContent.length * 3.6 })
    }
  }

  // highlighted: name of the one curve that is not faded, or null.
  drawCurves(curves, T, highlighted) {
    const steps = verticesOf(T)
    const names = new Set(curves.map((curve) => curve.name))
    for (const [name, group] of this.groups) {
      if (names.has(name)) continue
      group.remove()
      this.groups.delete(name)
    }
    for (const curve of curves) {
      if (!this.groups.has(curve.name)) {
        const group = svgElement("g", { "data-name": curve.name }, svgElement("path", { class: "curve" }), svgElement("g", { class: "steps" }))
        this.groups.set(curve.name, group)
        this.lines.append(group)
      }
      const group = this.groups.get(curve.name)
      const places = steps.map((i) => [this.x(shareOfStep(i, T)).toFixed(1), this.y(this.value(curve, i)).toFixed(1)])
      setAttributes(group.firstChild, {
        d: `M${places.map((place) => place.join(" ")).join("L")}`, stroke: colourOf(curve), "stroke-dasharray": dashOf(curve),
      })
      group.classList.toggle("faded", Boolean(highlighted) && highlighted !== curve.name)
      // With few steps the line between them is only a guide: dots show where the steps are.
      this.drawDots(group.lastChild, T <= 24 ? places : [], colourOf(curve))
    }
  }

  drawDots(layer, places, fill) {
    while (layer.childElementCount > places.length) layer.lastChild.remove()
    while (layer.childElementCount < places.length) layer.append(svgElement("circle", { r: 3 }))
    places.forEach(([cx, cy], i) => setAttributes(layer.children[i], { cx, cy, fill }))
  }

  toFront(curve) {
    this.lines.append(this.groups.get(curve.name))
  }

  // step: index of the marked step, from 0, or null.
  drawMarks(curves, T, step) {
    this.marks.replaceChildren()
    for (const { text } of this.stepLabels) text.classList.remove("off")
    if (step === null) return
    const x = this.x(shareOfStep(step, T))
    this.marks.append(svgElement("line", { class: "cross", x1: x, x2: x, y1: this.y0, y2: this.y1 }))
    for (const curve of curves) {
      const y = this.y(this.value(curve, step))
      if (y < this.y0 - 1 || y > this.y1 + 1) continue
      this.marks.append(svgElement("circle", { class: "mark", cx: x, cy: y, r: 4, fill: colourOf(curve) }))
    }
    const label = `t = ${step + 1}`
    const half = 5 + label.length * 3.6
    const middle = clamp(x, half, this.width - half)
    for (const tick of this.stepLabels) tick.text.classList.toggle("off", Math.abs(tick.x - middle) < half + tick.half)
    this.marks.append(svgElement("text", { class: "now", x: middle, y: this.y1 + 20, "text-anchor": "middle" }, label))
  }
}
