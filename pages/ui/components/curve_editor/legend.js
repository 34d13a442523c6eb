// ---- Legend: the curves, and their values at the marked step ------------------------

const READ_HINT = "Move the pointer over a plot to read the values at one step."
const EDIT_HINT = `${READ_HINT} Drag a control point to change β; double-click to add or remove one.`

const symbol = (letter) => [letter, el("sub", {}, "t")]

class Legend {
  // highlight(name or null): called when the pointer enters or leaves an entry.
  constructor(highlight) {
    this.highlight = highlight
    this.hint = el("span", { class: "hint" })
    this.step = el("span", { class: "at off" })
    this.entries = el("div", { class: "entries" })
    this.root = el("div", { class: "readout" }, el("div", { class: "head" }, this.hint, this.step), this.entries)
    this.rows = []
  }

  show(curves, editable) {
    this.hint.textContent = editable ? EDIT_HINT : READ_HINT
    this.rows = curves.map((curve) => {
      const line = svgElement("line", {
        x1: 0, x2: 30, y1: 5, y2: 5, class: "curve", stroke: colourOf(curve), "stroke-dasharray": dashOf(curve),
      })
      const values = ["β", "ᾱ"].map((letter) => {
        const value = el("span")
        return { value, cell: el("span", { class: "value" }, el("i", {}, ...symbol(letter)), value) }
      })
      const entry = el("div", {
        class: "entry", "data-name": curve.name,
        onpointerenter: () => this.highlight(curve.name), onpointerleave: () => this.highlight(null),
      }, svgElement("svg", { width: 30, height: 10, "aria-hidden": "true" }, line),
      el("span", { class: "label", title: curve.label }, curve.label), ...values.map(({ cell }) => cell))
      return { curve, entry, values }
    })
    this.entries.replaceChildren(...this.rows.map(({ entry }) => entry))
  }

  // step: index of the marked step, from 0, or null.
  read(step, T) {
    const reading = step !== null
    this.hint.classList.toggle("off", reading)
    this.step.classList.toggle("off", !reading)
    this.step.textContent = reading ? `t = ${step + 1} of ${T}` : ""
    for (const { curve, values } of this.rows) {
      for (const { cell } of values) cell.classList.toggle("off", !reading)
      if (!reading) continue
      values[0].value.textContent = probabilityText(curve.beta[step])
      values[1].value.textContent = probabilityText(sigmoid(curve.logSnr[step]))
    }
  }
}
