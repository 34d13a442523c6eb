// ---- Histogram card -----------------------------------------------------------------

const HISTOGRAM = { width: 100, height: 40 } // of its drawing, which is stretched to the card

// The median over frames of the highest bar sets the scale. Where all mass is in a few bars, as in data before noise
// is added, a scale for the highest bar of all would flatten everything else.
function histogramTop({ counts, curve, edges }) {
  const bars = edges.length - 1
  const highest = []
  for (let i = 0; i < counts.length; i += bars) highest.push(Math.max(...counts.subarray(i, i + bars)))
  highest.sort((a, b) => a - b)
  return 1.12 * Math.max(highest[highest.length >> 1], curve ? Math.max(...curve) : 0) || 1
}

function histogramPath(values, top) {
  const { width, height } = HISTOGRAM
  const step = width / values.length
  let path = ""
  values.forEach((value, i) => {
    const [x0, x1] = [(i * step + 0.06 * step).toFixed(2), ((i + 1) * step - 0.06 * step).toFixed(2)]
    const bar = (from, to) => `M${x0} ${(height - from).toFixed(2)}V${(height - to).toFixed(2)}H${x1}V${(height - from).toFixed(2)}Z`
    // A bar that does not fit is broken near its top.
    if (value > top) path += bar(0, 0.84 * height) + bar(0.9 * height, height)
    else if (value > 0) path += bar(0, (value / top) * height)
  })
  return path
}

function curvePath(values, top) {
  const { width, height } = HISTOGRAM
  const step = width / values.length
  return "M" + Array.from(values, (v, i) => `${((i + 0.5) * step).toFixed(2)} ${(height * (1 - v / top)).toFixed(2)}`).join("L")
}

function histogramCard(card) {
  const { width, height } = HISTOGRAM
  const svg = svgElement("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none" })
  svg.innerHTML = '<path class="bars"/><path class="halo" vector-effect="non-scaling-stroke"/><path class="curve" vector-effect="non-scaling-stroke"/>'
  const [bars, ...lines] = svg.children
  const ends = [el("span"), el("span")]
  const root = el("section", { class: "card" }, el("h3"),
    el("div", { class: `histogram ${card.role}`, "aria-hidden": "true" }, svg),
    el("div", { class: "ends" }, ...ends))
  root.firstChild.append(richText(card.title))
  if (card.note) {
    const note = el("p", { class: "note" })
    note.append(richText(card.note))
    root.append(note)
  }
  let shown = []
  const update = (data, frame) => {
    if (shown[0] === data.now && shown[1] === frame) return
    shown = [data.now, frame]
    data.top ??= histogramTop(data)
    const count = data.edges.length - 1
    const part = (values) => values.subarray(frame * count, (frame + 1) * count)
    bars.setAttribute("d", histogramPath(part(data.now), data.top))
    const line = data.curve && (data.curve.length === count ? data.curve : part(data.curve))
    for (const path of lines) path.setAttribute("d", line ? curvePath(line, data.top) : "")
    ;[data.edges[0], data.edges.at(-1)].forEach((edge, i) => { ends[i].textContent = withMinus(edge) })
  }
  return { root, update }
}
