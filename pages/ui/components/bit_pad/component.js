// ---- Grid of bits: set by click, drag or keyboard ------------------------------------

const NEXT = { two: { 0: "1", 1: "0" }, three: { ".": "1", 1: "0", 0: "." } }
const VALUE_TEXT = { ".": "unknown", 0: "0", 1: "1" }

function createPad(parent) {
  const p = { root: el("div", { class: "pad", role: "grid" }), cells: [], nodes: [], brush: null, sent: new SentValues() }
  p.root.addEventListener("pointerdown", (event) => startPainting(p, event))
  p.root.addEventListener("pointermove", (event) => p.brush !== null && paint(p, cellAt(p, event)))
  for (const end of ["pointerup", "pointercancel"]) p.root.addEventListener(end, () => stopPainting(p))
  p.root.addEventListener("keydown", (event) => onKey(p, event))
  parent.append(p.root)
  return p
}

// By position, because a captured pointer reports the pad, not the cell.
function cellAt(p, event) {
  return p.nodes.findIndex((node) => {
    const box = node.getBoundingClientRect()
    return event.clientX >= box.left && event.clientX < box.right && event.clientY >= box.top && event.clientY < box.bottom
  })
}

const nextValue = (p, i) => NEXT[p.data.free ? "three" : "two"][p.cells[i]]

function startPainting(p, event) {
  const i = cellAt(p, event)
  if (i < 0 || event.button > 0) return
  p.root.setPointerCapture(event.pointerId)
  p.brush = nextValue(p, i)
  paint(p, i)
  focusCell(p, i)
  event.preventDefault()
}

function paint(p, i) {
  if (i < 0 || p.cells[i] === p.brush) return
  p.cells[i] = p.brush
  showCell(p, i)
}

function stopPainting(p) {
  if (p.brush === null) return
  p.brush = null
  send(p)
}

function send(p) {
  const cells = p.cells.join("")
  p.sent.add(cells)
  p.setStateValue("cells", cells)
}

function focusCell(p, i) {
  p.nodes.forEach((node, j) => node.setAttribute("tabindex", j === i ? 0 : -1))
  p.nodes[i].focus({ preventScroll: true })
}

function onKey(p, event) {
  const i = p.nodes.indexOf(event.target)
  if (i < 0) return
  const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -p.data.columns, ArrowDown: p.data.columns }[event.key]
  if (move) {
    if (p.nodes[i + move]) focusCell(p, i + move)
  } else if (event.key === " " || event.key === "Enter") {
    p.cells[i] = nextValue(p, i)
    showCell(p, i)
    send(p)
  } else return
  event.preventDefault()
  event.stopPropagation()
}

function showCell(p, i) {
  const { columns } = p.data
  p.nodes[i].dataset.bit = p.cells[i]
  const place = p.cells.length > columns ? `Row ${Math.floor(i / columns) + 1}, position` : "Position"
  p.nodes[i].setAttribute("aria-label", `${place} ${(i % columns) + 1}: ${VALUE_TEXT[p.cells[i]]}`)
}

export default function ({ data, parentElement, setStateValue }) {
  const p = instanceFor(parentElement, createPad)
  p.setStateValue = setStateValue
  applyTheme(p.root)
  const before = p.data
  p.data = data
  const sameGrid = before?.columns === data.columns && before.free === data.free && before.cells.length === data.cells.length
  // Cells that were sent from here, or the same data again: neither must undo later clicks.
  if (sameGrid && (p.sent.returned(data.cells) || data.cells === before.cells)) return
  if (p.brush !== null) return
  p.sent.clear()
  p.cells = [...data.cells]
  p.root.style.setProperty("--columns", data.columns)
  p.root.style.setProperty("--half", Math.ceil(data.columns / 2))
  p.root.classList.toggle("single", data.cells.length === data.columns)
  p.root.setAttribute("aria-label", data.label)
  p.nodes = p.cells.map((_, i) => el("div", { class: "bit", role: "gridcell", tabindex: i ? -1 : 0 }))
  p.root.replaceChildren(...p.nodes)
  p.nodes.forEach((_, i) => showCell(p, i))
}
