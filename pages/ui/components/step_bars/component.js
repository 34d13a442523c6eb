// ---- Bars over t that lead the players of one clock ------------------------------------------------
// At most MOST bars: neighbours are added up. Pointing tells the clock, clicking tells Python.

const MOST = 120
const HEIGHT = 250
const ROOM = { left: 52, right: 8, top: 8, bottom: 34 }
const bars = new WeakMap()

const shape = (tag, attributes) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag)
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value)
  return node
}

const minus = (text) => text.replace("-", "−")

function nice(span, about) {
  const raw = span / about
  const ten = 10 ** Math.floor(Math.log10(raw || 1))
  return ten * ([1, 2, 5, 10].find((k) => k * ten >= raw) ?? 10)
}

function make(parent) {
  const b = { root: el("div", { class: "dpm-steps" }), keys: el("div", { class: "keys" }), words: el("output", { "aria-live": "polite" }) }
  b.svg = shape("svg", { role: "slider", tabindex: 0, "aria-label": "Step t" })
  b.root.append(b.keys, b.svg, b.words)
  b.t = null
  b.picked = null
  b.svg.addEventListener("pointermove", (event) => point(b, stepAt(b, event)))
  b.svg.addEventListener("click", (event) => pick(b, stepAt(b, event)))
  b.svg.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -b.width, ArrowRight: b.width }[event.key]
    if (by) point(b, Math.min(b.data.T, Math.max(2, (b.t ?? 2) + by)))
    else if (event.key === "Enter") pick(b, b.t ?? 2)
    else return
    event.preventDefault()
    event.stopPropagation()
  })
  b.hear = (event) => {
    if (event.detail.clock !== b.data.clock || event.detail.from === b) return
    show(b, Math.round(event.detail.share * b.data.T))
  }
  window.addEventListener("dpm-clock", b.hear)
  b.seen = new ResizeObserver(() => b.data && draw(b))
  b.seen.observe(b.root)
  parent.append(b.root)
  return b
}

function stepAt(b, event) {
  const box = b.svg.getBoundingClientRect()
  const share = (event.clientX - box.left - ROOM.left) / (box.width - ROOM.left - ROOM.right)
  return Math.min(b.data.T, Math.max(2, 2 + Math.floor(share * (b.data.T - 1))))
}

function point(b, t) {
  if (t === b.t) return
  show(b, t)
  const detail = { clock: b.data.clock, from: b, share: t / b.data.T, playing: false }
  window.dispatchEvent(new CustomEvent("dpm-clock", { detail }))
}

function pick(b, t) {
  b.picked = t
  draw(b)
  b.setStateValue("t", t)
}

function draw(b) {
  const { T, parts, unit } = b.data
  const width = Math.max(200, b.root.clientWidth)
  b.width = Math.max(1, Math.ceil((T - 1) / MOST))
  const groups = []
  for (let low = 2; low <= T; low += b.width) groups.push([low, Math.min(T + 1, low + b.width)])
  const sums = parts.map((part) => groups.map(([low, end]) => part.bits.slice(low - 2, end - 2).reduce((a, v) => a + v, 0)))
  b.groups = groups
  const above = groups.map((_, i) => sums.reduce((a, s) => a + Math.max(0, s[i]), 0))
  const below = groups.map((_, i) => sums.reduce((a, s) => a + Math.min(0, s[i]), 0))
  const top = Math.max(...above, 1e-9)
  const bottom = Math.min(...below, 0)
  const x = (t) => ROOM.left + ((t - 2) / (T - 1)) * (width - ROOM.left - ROOM.right)
  const y = (v) => ROOM.top + ((top - v) / (top - bottom)) * (HEIGHT - ROOM.top - ROOM.bottom)
  b.x = x
  const nodes = []
  const step = nice(top - bottom, 4)
  for (let k = Math.ceil(bottom / step - 1e-6); k * step <= top + 1e-12; k++) {
    nodes.push(shape("line", { class: "grid", x1: ROOM.left, x2: width - ROOM.right, y1: y(k * step), y2: y(k * step) }))
    const label = shape("text", { x: ROOM.left - 6, y: y(k * step) + 4, "text-anchor": "end" })
    label.textContent = minus(String(Number((k * step).toPrecision(3))))
    nodes.push(label)
  }
  const up = groups.map(() => 0)
  const down = groups.map(() => 0)
  parts.forEach((part, j) => groups.forEach(([low, end], i) => {
    const v = sums[j][i]
    const from = v >= 0 ? up[i] : down[i]
    const to = from + v
    if (v >= 0) up[i] = to
    else down[i] = to
    const gap = end - low > 0 && x(end) - x(low) > 4 ? 1 : 0
    nodes.push(shape("rect", {
      x: x(low), width: Math.max(0.5, x(end) - x(low) - gap), y: y(Math.max(from, to)), height: Math.abs(y(from) - y(to)),
      fill: `var(--${part.role})`,
    }))
  }))
  const every = Math.max(1, nice(T, Math.max(2, width / 90)))
  for (let t = every; t <= T; t += every) {
    const label = shape("text", { x: (x(t) + x(t + 1)) / 2, y: HEIGHT - 16, "text-anchor": "middle" })
    label.textContent = `${t}`
    nodes.push(label)
  }
  const axis = shape("text", { x: width - ROOM.right, y: HEIGHT - 2, "text-anchor": "end" })
  axis.textContent = `step t; ${unit}`
  b.here = shape("rect", { class: "here", y: ROOM.top, height: HEIGHT - ROOM.top - ROOM.bottom, x: 0, width: 0 })
  nodes.push(axis, b.here)
  if (b.picked !== null && b.picked <= T) {
    const [low, end] = groups[Math.floor((b.picked - 2) / b.width)]
    nodes.push(shape("rect", { class: "picked", x: x(low), width: x(end) - x(low), y: ROOM.top, height: HEIGHT - ROOM.top - ROOM.bottom }))
  }
  b.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`)
  b.svg.replaceChildren(...nodes)
  b.keys.replaceChildren(...parts.map((part) => el("span", { style: `--role: var(--${part.role})` }, part.label)))
  b.svg.setAttribute("aria-valuemin", 2)
  b.svg.setAttribute("aria-valuemax", T)
  if (b.t !== null) show(b, Math.min(b.t, T))
  else b.words.textContent = b.data.clock ? "Point at a bar: the players above go to that t." : "Point at a bar for its bits."
}

function show(b, t) {
  b.t = t
  b.root.dataset.t = t
  b.svg.setAttribute("aria-valuenow", t)
  if (t < 2) {
    b.here.setAttribute("width", 0)
    return
  }
  const [low, end] = b.groups[Math.floor((t - 2) / b.width)]
  b.here.setAttribute("x", b.x(low))
  b.here.setAttribute("width", b.x(end) - b.x(low))
  const bits = b.data.parts.map((part) => `${part.label} ${minus(part.bits[t - 2].toFixed(4))}`)
  b.words.textContent = `t = ${t}: ${bits.join(", ")} bits`
}

function tone(root) {
  const [r, g, blue] = (getComputedStyle(root).color.match(/[\d.]+/g) ?? [0, 0, 0]).map(Number)
  root.dataset.theme = 0.3 * r + 0.6 * g + 0.1 * blue > 128 ? "dark" : "light"
}

export default function ({ data, parentElement, setStateValue }) {
  const b = bars.get(parentElement) || make(parentElement)
  bars.set(parentElement, b)
  b.data = data
  b.setStateValue = setStateValue
  tone(b.root)
  draw(b)
  return () => setTimeout(() => {
    if (b.root.isConnected) return
    window.removeEventListener("dpm-clock", b.hear)
    b.seen.disconnect()
  })
}
