// ---- Bars over t that move the players of one clock ----------------------------------
// Pointing at a bar tells the players, a click tells Python.

function createBars(parent) {
  const b = { legend: el("div", { class: "keys" }), text: el("output", { "aria-live": "polite" }), t: null, selected: null }
  b.svg = svgElement("svg", { role: "slider", tabindex: 0, "aria-label": "Step t" })
  b.root = el("div", { class: "dpm-steps" }, b.legend, b.svg, b.text)
  b.svg.addEventListener("pointermove", (event) => point(b, stepAt(b, event)))
  b.svg.addEventListener("click", (event) => select(b, stepAt(b, event)))
  b.svg.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -b.size, ArrowRight: b.size }[event.key]
    if (move) point(b, clamp((b.t ?? 2) + move, 2, b.data.T))
    else if (event.key === "Enter") select(b, b.t ?? 2)
    else return
    event.preventDefault()
    event.stopPropagation()
  })
  b.listeners = new Listeners()
  b.listeners.add(window, "dpm-clock", (event) => {
    if (event.detail.clock !== b.data.clock || event.detail.from === b) return
    showStep(b, Math.round(event.detail.share * b.data.T))
  })
  b.observer = new ResizeObserver(() => b.data && draw(b))
  b.observer.observe(b.root)
  parent.append(b.root)
  return b
}

function stepAt(b, event) {
  const [x] = pointIn(b.svg, event)
  const share = (x - MARGIN.left) / (b.svg.getBoundingClientRect().width - MARGIN.left - MARGIN.right)
  return clamp(2 + Math.floor(share * (b.data.T - 1)), 2, b.data.T)
}

function point(b, t) {
  if (t === b.t) return
  showStep(b, t)
  const detail = { clock: b.data.clock, from: b, share: t / b.data.T, playing: false }
  window.dispatchEvent(new CustomEvent("dpm-clock", { detail }))
}

function select(b, t) {
  b.selected = t
  draw(b)
  b.setStateValue("t", t)
}

function draw(b) {
  const { T, parts, clock } = b.data
  const width = Math.max(200, b.root.clientWidth)
  Object.assign(b, groupsOf(T))
  const { nodes, x } = drawChart(b.data, b.groups, width)
  b.x = x
  b.marked = svgElement("rect", { class: "here", y: MARGIN.top, height: PLOT_HEIGHT, x: 0, width: 0 })
  nodes.push(b.marked)
  if (b.selected !== null && b.selected <= T) {
    const selected = svgElement("rect", { class: "picked", y: MARGIN.top, height: PLOT_HEIGHT })
    cover(b, selected, b.selected)
    nodes.push(selected)
  }
  b.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`)
  b.svg.replaceChildren(...nodes)
  b.legend.replaceChildren(...parts.map((part) => el("span", { style: `--role: var(--${part.role})` }, part.label)))
  setAttributes(b.svg, { "aria-valuemin": 2, "aria-valuemax": T })
  if (b.t !== null) showStep(b, Math.min(b.t, T))
  else b.text.textContent = clock ? "Point at a bar to show its step t in the players above." : "Point at a bar to read its values."
}

// Places a rectangle over the bar of t.
function cover(b, rectangle, t) {
  const [first, end] = b.groups[Math.floor((t - 2) / b.size)]
  setAttributes(rectangle, { x: b.x(first), width: b.x(end) - b.x(first) })
}

function showStep(b, t) {
  b.t = t
  b.root.dataset.t = t
  b.svg.setAttribute("aria-valuenow", t)
  if (t < 2) {
    b.marked.setAttribute("width", 0)
    return
  }
  cover(b, b.marked, t)
  const values = b.data.parts.map((part) => `${part.label} ${withMinus(part.bits[t - 2].toFixed(4))}`)
  b.text.textContent = `t = ${t}: ${values.join(", ")} bits`
}

export default function ({ data, parentElement, setStateValue }) {
  const b = instanceFor(parentElement, createBars)
  b.data = data
  b.setStateValue = setStateValue
  applyTheme(b.root)
  draw(b)
  return disposeWhenRemoved(parentElement, b, () => {
    b.listeners.removeAll()
    b.observer.disconnect()
  })
}
