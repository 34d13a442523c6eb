// ---- Chart of the bars --------------------------------------------------------------

const MAX_BARS = 120 // of more steps, neighbours are added up
const HEIGHT = 250
const MARGIN = { left: 52, right: 8, top: 8, bottom: 34 }
const PLOT_HEIGHT = HEIGHT - MARGIN.top - MARGIN.bottom

// A round distance between ticks, for about this many of them.
function tickStep(span, count) {
  const raw = span / count
  const ten = 10 ** Math.floor(Math.log10(raw || 1))
  return ten * ([1, 2, 5, 10].find((k) => k * ten >= raw) ?? 10)
}

// Steps per bar, and the steps [first, end) of each bar.
function groupsOf(T) {
  const size = Math.max(1, Math.ceil((T - 1) / MAX_BARS))
  const groups = []
  for (let first = 2; first <= T; first += size) groups.push([first, Math.min(T + 1, first + size)])
  return { size, groups }
}

// {nodes, x}: the elements of the chart for `width` px, and x(t), the left edge of the bar of t.
function drawChart({ T, parts, unit }, groups, width) {
  const sums = parts.map((part) => groups.map(([first, end]) => part.bits.slice(first - 2, end - 2).reduce((a, v) => a + v, 0)))
  const total = (sign) => groups.map((_, i) => sums.reduce((a, sum) => a + (sign * sum[i] > 0 ? sum[i] : 0), 0))
  const top = Math.max(...total(1), 1e-9)
  const bottom = Math.min(...total(-1), 0)
  const x = (t) => MARGIN.left + ((t - 2) / (T - 1)) * (width - MARGIN.left - MARGIN.right)
  const y = (value) => MARGIN.top + ((top - value) / (top - bottom)) * PLOT_HEIGHT
  return { nodes: [...valueAxis(top, bottom, y, width), ...barsOf(parts, sums, groups, x, y), ...stepAxis(T, unit, x, width)], x }
}

function valueAxis(top, bottom, y, width) {
  const nodes = []
  const step = tickStep(top - bottom, 4)
  for (let k = Math.ceil(bottom / step - 1e-6); k * step <= top + 1e-12; k++) {
    const level = y(k * step)
    nodes.push(
      svgElement("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: level, y2: level }),
      svgElement("text", { x: MARGIN.left - 6, y: level + 4, "text-anchor": "end" }, withMinus(Number((k * step).toPrecision(3)))))
  }
  return nodes
}

// Positive values are stacked upwards from zero, negative ones downwards.
function barsOf(parts, sums, groups, x, y) {
  const nodes = []
  const up = groups.map(() => 0)
  const down = groups.map(() => 0)
  parts.forEach((part, j) => groups.forEach(([first, end], i) => {
    const stack = sums[j][i] >= 0 ? up : down
    const from = stack[i]
    const to = from + sums[j][i]
    stack[i] = to
    const gap = x(end) - x(first) > 4 ? 1 : 0
    nodes.push(svgElement("rect", {
      x: x(first), width: Math.max(0.5, x(end) - x(first) - gap), y: y(Math.max(from, to)), height: Math.abs(y(from) - y(to)),
      fill: `var(--${part.role})`,
    }))
  }))
  return nodes
}

function stepAxis(T, unit, x, width) {
  const nodes = []
  const every = Math.max(1, tickStep(T, Math.max(2, width / 90)))
  for (let t = every; t <= T; t += every) {
    nodes.push(svgElement("text", { x: (x(t) + x(t + 1)) / 2, y: HEIGHT - 16, "text-anchor": "middle" }, `${t}`))
  }
  nodes.push(svgElement("text", { x: width - MARGIN.right, y: HEIGHT - 2, "text-anchor": "end" }, `step t; ${unit}`))
  return nodes
}
