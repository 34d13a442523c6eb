// ---- Buttons, slider, lines of text --------------------------------------------------
// Everything is built once; `showState` updates it.

const ICONS = {
  brush: '<path d="M19.5 4.500c-4.500 2-8 5.500-9.300 8.300l1.500 1.500c2.800-1.300 6.300-4.800 8.300-9.300zM9.300 14c-2.300 0-3.300 1.500-3.300 3 0 1.300-.8 2.200-2 2.500 3 1 7 .3 7-3.300"/>',
  eraser: '<path d="M8.500 19.500h11M5 15.500l4 4h3l7-7-5.500-5.500-9 9zM9.500 11l5.500 5.500"/>',
  rectangle: '<rect x="4.500" y="6" width="15" height="12" rx="0.500" stroke-dasharray="3 2.200"/>',
  lasso: '<path d="M12 5c4.600 0 8 2.100 8 5s-3.400 5-8 5-8-2.100-8-5 3.400-5 8-5z" stroke-dasharray="3 2.200"/><path d="M7.500 14.500c-1.300 1.700-1 3.300.8 3.300s2 1.600.7 2.700"/>',
  undo: '<path d="M8.500 5 4.500 9l4 4M5 9h9a5 5 0 0 1 0 10h-3.500"/>',
  redo: '<path d="M15.500 5l4 4-4 4M19 9h-9a5 5 0 0 0 0 10h3.500"/>',
  clear: '<path d="M5 7h14M10 7V4.500h4V7M7 7l.8 12.500h8.400L17 7M10.300 10.500v5.500M13.700 10.500v5.500"/>',
  invert: '<circle cx="12" cy="12" r="7.500"/><path d="M12 4.500a7.500 7.500 0 0 1 0 15z" fill="currentColor" stroke="none"/>',
  grow: '<circle cx="12" cy="12" r="3"/><path d="M12 6V3M10.300 4.600 12 3l1.700 1.600M12 18v3M10.300 19.400 12 21l1.700-1.600M6 12H3M4.600 10.300 3 12l1.600 1.700M18 12h3M19.400 10.300 21 12l-1.600 1.700"/>',
  shrink: '<circle cx="12" cy="12" r="3"/><path d="M12 3v3.500M10.300 5 12 6.600 13.700 5M12 21v-3.500M10.300 19 12 17.400l1.700 1.600M3 12h3.500M5 10.300 6.600 12 5 13.700M21 12h-3.500M19 10.300 17.400 12l1.600 1.700"/>',
  fit: '<path d="M4.500 9.500v-5h5M14.500 4.500h5v5M19.500 14.500v5h-5M9.500 19.500h-5v-5"/><rect x="8.500" y="8.500" width="7" height="7" rx="0.500"/>',
  compare: '<path d="M12 3.500v17M9 6H4.500v12H9M15 6h4.500v12H15" /><path d="M15 6h4.500v12H15z" fill="currentColor" fill-opacity="0.350" stroke="none"/>',
  help: '<path d="M9.2 9.200a2.9 2.9 0 1 1 4.300 2.600c-.9.5-1.500 1.200-1.500 2.200M12 17.300v.2"/>',
}
const TOOLS = {
  brush: ["Brush", "B"], eraser: ["Eraser", "E, or drag with the right mouse button"],
  rectangle: ["Rectangle", "R"], lasso: ["Lasso", "L"],
}
const KEYS = [
  ["B", "brush"], ["E", "eraser (or right mouse button)"], ["R", "rectangle", "mask"], ["L", "lasso", "mask"],
  ["[ ]", "brush size (or Alt + wheel)"], ["Wheel", "zoom"], ["Space", "hold and drag to pan"], ["Esc", "fit picture to the view"],
  ["Tab", "hold to compare", "mask"], ["Ctrl Z", "undo (Shift: redo)"], ["?", "show or hide these shortcuts"],
]

function button(name, label, act, keys = "") {
  return el("button", {
    class: "tool", type: "button", "data-act": name, "aria-label": label, title: keys ? `${label} (${keys})` : label, onclick: act,
  }, svgIcon(ICONS[name]))
}

const group = (label, ...children) => el("div", { class: "group", role: "group", "aria-label": label }, ...children)

// The slider is logarithmic, so that small brushes can be set exactly.
const largestBrush = (p) => Math.min(200, Math.max(p.width, p.height, 8))
const sliderOf = (p) => (100 * Math.log(p.size)) / Math.log(largestBrush(p))
const sizeOf = (p, at) => Math.round(largestBrush(p) ** (at / 100))

function buildToolbar(p) {
  const tools = Object.entries(TOOLS).map(([name, [label, keys]]) => button(name, label, () => setTool(p, name), keys))
  p.slider = el("input", {
    type: "range", min: 0, max: 100, step: 0.1, "aria-label": "Brush size", title: "Brush size ([ and ], or Alt + wheel)",
    oninput: () => setSize(p, sizeOf(p, Number(p.slider.value))),
  })
  p.sizeText = el("output", { class: "size" })
  const compare = button("compare", "Compare", () => {}, "press and hold, or hold Tab")
  holdToCompare(p, compare)
  p.buttons = {
    undo: button("undo", "Undo", () => undo(p), "Ctrl Z"), redo: button("redo", "Redo", () => redo(p), "Ctrl Shift Z"),
    clear: button("clear", "Clear", () => operate(p, "clear")), invert: button("invert", "Invert", () => operate(p, "invert")),
    grow: button("grow", "Grow", () => operate(p, "grow")), shrink: button("shrink", "Shrink", () => operate(p, "shrink")),
    fit: button("fit", "Fit picture to the view", () => resetView(p), "Esc"), compare,
    help: button("help", "Keyboard shortcuts", () => toggleHelp(p), "?"),
  }
  p.buttons.help.setAttribute("aria-expanded", false)
  for (const one of tools) p.buttons[one.dataset.act] = one
  const b = p.buttons
  return el("div", { class: "bar", role: "toolbar", "aria-label": "Painting tools" },
    group("Tools", ...tools), el("div", { class: "group sizes" }, p.slider, p.sizeText),
    group("History", b.undo, b.redo), group("Mask", b.invert, b.grow, b.shrink, b.clear),
    group("View", b.compare, b.fit, b.help))
}

// Active while a pointer, Space or Enter holds the button down.
function holdToCompare(p, node) {
  const on = () => setComparing(p, true)
  const off = () => setComparing(p, false)
  node.addEventListener("pointerdown", (event) => {
    node.setPointerCapture(event.pointerId)
    on()
  })
  for (const type of ["pointerup", "pointercancel", "lostpointercapture", "blur", "keyup"]) node.addEventListener(type, off)
  node.addEventListener("keydown", (event) => [" ", "Enter"].includes(event.key) && on())
  node.addEventListener("contextmenu", (event) => event.preventDefault())
}

function buildFoot(p) {
  p.status = el("span", { class: "status" })
  p.wiper = el("input", {
    type: "range", min: 0, max: 100, step: 0.1, value: 0, "aria-label": "Compare from the left",
    oninput: () => {
      p.wipe = Number(p.wiper.value) / 100
      schedule(p)
    },
  })
  p.wipeBox = el("label", { class: "wipe" }, el("span", {}, "Compare"), p.wiper)
  const keys = KEYS.map(([key, what, mode]) => el("span", { "data-mode": mode }, el("kbd", {}, key), ` ${what}`))
  p.help = el("p", { class: "help" }, ...keys)
  p.help.hidden = true
  return [el("div", { class: "foot" }, p.status, p.wipeBox), p.help]
}

function toggleHelp(p) {
  p.help.hidden = !p.help.hidden
  p.buttons.help.setAttribute("aria-expanded", !p.help.hidden)
}

function setTool(p, name) {
  if (p.gesture || (p.mode === "draw" && name !== "brush" && name !== "eraser")) return
  p.tool = name
  showState(p)
}

function setSize(p, size) {
  p.size = clamp(Math.round(size), 1, largestBrush(p))
  showState(p)
}
const stepSize = (p, up) => setSize(p, up ? Math.max(p.size + 1, p.size * 1.15) : Math.min(p.size - 1, p.size / 1.15))

function setComparing(p, on) {
  if (p.comparing === on) return
  p.comparing = on
  p.root.dataset.comparing = on
  schedule(p)
}

const grouped = (n) => n.toLocaleString("en")

function showState(p) {
  const { buttons, width, height, mode } = p
  const total = width * height
  const missing = p.now.reduce((sum, n, i) => (i % 2 ? sum + n : sum), 0)
  const text = mode === "draw" ? `${width} × ${height} pixels`
    : `Missing: ${grouped(missing)} of ${grouped(total)} pixels (${((100 * missing) / total).toFixed(1)} %)`
  p.status.textContent = text
  for (const name of Object.keys(TOOLS)) buttons[name].setAttribute("aria-pressed", p.tool === name)
  buttons.undo.disabled = !p.undo.length
  buttons.redo.disabled = !p.redo.length
  const comparable = Boolean(referenceOf(p))
  p.wipeBox.classList.toggle("off", !comparable)
  buttons.compare.disabled = p.wiper.disabled = !comparable
  if (Math.abs(Number(p.slider.value) - sliderOf(p)) > 0.5) p.slider.value = sliderOf(p)
  p.slider.setAttribute("aria-valuetext", `${p.size} pixels`)
  p.sizeText.textContent = `${p.size} px`
  p.canvas.setAttribute("aria-label", mode === "draw" ? `Drawing of ${text}` : `Picture of ${width} by ${height} pixels. ${text}`)
  Object.assign(p.root.dataset, { mode, tool: p.tool, size: p.size, missing, revision: p.revision, steps: p.undo.length, comparable })
  schedule(p)
}
