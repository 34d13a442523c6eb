// ---- A grid of bits: click or drag to set them, arrows and space by keyboard -----------------------

const pads = new WeakMap()
const NEXT = { two: { 0: "1", 1: "0" }, three: { ".": "1", 1: "0", 0: "." } }
const SAID = { ".": "free", 0: "0", 1: "1" }

function make(parent) {
  const p = { root: el("div", { class: "pad", role: "grid" }), cells: [], nodes: [], brush: null }
  p.root.addEventListener("pointerdown", (event) => begin(p, event))
  p.root.addEventListener("pointermove", (event) => p.brush !== null && paint(p, under(p, event)))
  for (const end of ["pointerup", "pointercancel"]) p.root.addEventListener(end, () => finish(p))
  p.root.addEventListener("keydown", (event) => key(p, event))
  parent.append(p.root)
  return p
}

// By place, as a captured pointer reports the pad, not the cell.
function under(p, event) {
  return p.nodes.findIndex((node) => {
    const box = node.getBoundingClientRect()
    return event.clientX >= box.left && event.clientX < box.right && event.clientY >= box.top && event.clientY < box.bottom
  })
}

function begin(p, event) {
  const at = under(p, event)
  if (at < 0 || event.button > 0) return
  p.root.setPointerCapture(event.pointerId)
  p.brush = NEXT[p.data.free ? "three" : "two"][p.cells[at]]
  paint(p, at)
  focus(p, at)
  event.preventDefault()
}

function paint(p, at) {
  if (at < 0 || p.cells[at] === p.brush) return
  p.cells[at] = p.brush
  show(p, at)
}

function finish(p) {
  if (p.brush === null) return
  p.brush = null
  tell(p)
}

function tell(p) {
  p.sent = p.cells.join("")
  p.setStateValue("cells", p.sent)
}

function focus(p, at) {
  p.nodes.forEach((node, i) => node.setAttribute("tabindex", i === at ? 0 : -1))
  p.nodes[at].focus({ preventScroll: true })
}

function key(p, event) {
  const at = p.nodes.indexOf(event.target)
  if (at < 0) return
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -p.data.columns, ArrowDown: p.data.columns }[event.key]
  if (by) {
    if (p.nodes[at + by]) focus(p, at + by)
  } else if (event.key === " " || event.key === "Enter") {
    p.cells[at] = NEXT[p.data.free ? "three" : "two"][p.cells[at]]
    show(p, at)
    tell(p)
  } else return
  event.preventDefault()
  event.stopPropagation()
}

function show(p, at) {
  const { columns } = p.data
  const value = p.cells[at]
  p.nodes[at].dataset.bit = value
  const row = p.cells.length > columns ? `Row ${Math.floor(at / columns) + 1}, place` : "Place"
  p.nodes[at].setAttribute("aria-label", `${row} ${(at % columns) + 1}: ${SAID[value]}`)
}

export default function ({ data, parentElement, setStateValue }) {
  const p = pads.get(parentElement) || make(parentElement)
  pads.set(parentElement, p)
  p.setStateValue = setStateValue
  const before = p.data
  p.data = data
  // what was just sent comes back: it must not undo clicks made since
  if (before && data.cells === p.sent && before.columns === data.columns && before.free === data.free) return
  if (p.brush !== null) return
  p.sent = null
  p.cells = [...data.cells]
  p.root.style.setProperty("--columns", data.columns)
  p.root.style.setProperty("--half", Math.ceil(data.columns / 2))
  p.root.classList.toggle("single", data.cells.length === data.columns)
  p.root.setAttribute("aria-label", data.label)
  p.nodes = p.cells.map((_, i) => el("div", { class: "bit", role: "gridcell", tabindex: i ? -1 : 0 }))
  p.root.replaceChildren(...p.nodes)
  p.nodes.forEach((_, i) => show(p, i))
}
