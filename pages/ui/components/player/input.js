// ---- Pointer ------------------------------------------------------------------------

const REACH = 14 // css px within which a particle counts as pointed at

function pointing(p, view, canvas) {
  const place = (event) => pointIn(canvas, event)
  const point = (event) => {
    const [x, y] = place(event)
    setHover(p, view, findUnder(p, view, x, y))
  }
  let press = 0
  let start = null
  let held = false
  const cancelPress = () => clearTimeout(press)
  canvas.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse") return
    start = [event.clientX, event.clientY]
    held = false
    cancelPress()
    press = setTimeout(() => {
      held = true
      point(event)
    }, 350)
  })
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerType === "mouse") point(event)
    else if (start && Math.hypot(event.clientX - start[0], event.clientY - start[1]) > 8) cancelPress()
  })
  canvas.addEventListener("pointerup", cancelPress)
  canvas.addEventListener("pointercancel", cancelPress)
  canvas.addEventListener("contextmenu", (event) => start && event.preventDefault())
  canvas.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse") setHover(p, view, null)
  })
  canvas.addEventListener("click", (event) => {
    if (held && event.pointerType !== "mouse") return // a long press shows values, it does not select
    if (event.pointerType !== "mouse") point(event)
    pick(p, view, ...place(event))
  })
}

// The particle ({index}) or pixel ({index, x, y}) at a point in css px, or null.
function findUnder(p, view, x, y) {
  if (!p.on.has(view.panel.id)) return null
  if (view.panel.kind === "images") {
    const ratio = pixelRatio(view.panel)
    return pixelAt(view.panel, imageGrid(p, view), x * ratio, y * ratio)
  }
  const camera = cameraFor(p.stage, view.width, view.height)
  const index = nearestParticle(p.stage, view.panel, camera, p.position, x, y, REACH)
  return index >= 0 ? { index } : null
}

const imageGrid = (p, view) => {
  const ratio = pixelRatio(view.panel)
  return gridFor(view.panel, Math.round(view.width * ratio), Math.round(view.height * ratio), ratio, p.font)
}

function setHover(p, view, found) {
  const next = found && { panel: view.index, ...found }
  if (["panel", "index", "x", "y"].every((part) => p.hover?.[part] === next?.[part])) return
  p.hover = next
  invalidate(p)
}

const signed = (value) => formatNumber(value, 3)

// Place in css px and lines of the tooltip, or null where there is nothing to show.
function particleTip(p, view) {
  const code = locate(view.panel, p.stage.times.length, p.position, p.hover.index)
  if (!code) return null
  const camera = cameraFor(p.stage, view.width, view.height)
  return {
    x: camera.left + code[0] * camera.step, y: camera.bottom - code[1] * camera.step,
    name: `Particle ${p.hover.index + 1}`,
    value: `(${signed(valueOf(p.stage, code[0]))}, ${signed(valueOf(p.stage, code[1]))})`,
  }
}

function imageTip(p, view) {
  const { panel } = view
  const grid = imageGrid(p, view)
  const ratio = pixelRatio(panel)
  const [left, top] = cornerOf(grid, p.hover.index)
  const shares = panel.tint && !panel.bits // 0..255 stands for a probability
  const values = pixelValues(panel, p.frame, p.hover).map((v) => (shares ? (v / 255).toFixed(2) : v))
  const caption = panel.captions[p.hover.index]
  const raster = panel.tint && panel.n === 1 // rows are sequences
  return {
    x: (left + ((p.hover.x + 1) / panel.width) * grid.w) / ratio,
    y: (top + ((p.hover.y + 1) / panel.height) * grid.h) / ratio,
    name: `${raster ? `Row ${p.hover.y + 1}` : `Image ${p.hover.index + 1}`}${caption ? ` · ${caption}` : ""}`,
    value: (raster ? `Position ${p.hover.x + 1}: ` : `Pixel (${p.hover.x}, ${p.hover.y}): `) +
      (values.length > 1 ? values.map((v, i) => `${"RGB"[i]} ${v}`).join(" ") : values[0]),
  }
}

const TIPS = { particles: particleTip, images: imageTip }

function showTip(p) {
  for (const view of p.panels) {
    const content = p.hover?.panel === view.index ? TIPS[view.panel.kind](p, view) : null
    view.tip.hidden = !content
    if (!content) continue
    const { x, y } = content
    view.tip.replaceChildren(
      el("b", {}, content.name), el("span", {}, `t = ${p.stage.times[p.frame]}`), el("span", {}, content.value))
    // Beside the place, on the side where there is room.
    const right = x > view.width - 170
    const up = y > view.height - 90
    view.tip.style.transform = `translate(${x + (right ? -12 : 12)}px, ${y + (up ? -12 : 12)}px) ` +
      `translate(${right ? -100 : 0}%, ${up ? -100 : 0}%)`
  }
}

// A click in the plane counts everywhere; a click beside the images does not count.
function pick(p, view, x, y) {
  const { panel } = view
  const found = findUnder(p, view, x, y)
  if (panel.kind === "images") {
    if (found) setMarker(p, panel, found, { image: found.index, x: found.x, y: found.y })
    return
  }
  const camera = cameraFor(p.stage, view.width, view.height)
  const code = found && locate(panel, p.stage.times.length, p.position, found.index)
  const place = code
    ? { x: valueOf(p.stage, code[0]), y: valueOf(p.stage, code[1]) }
    : { x: p.stage.low + (x - camera.left) / camera.scale, y: p.stage.low + (camera.bottom - y) / camera.scale }
  setMarker(p, panel, place, { ...place, particle: found ? found.index : null })
}

function setMarker(p, panel, place, details) {
  const frame = Math.round(p.position)
  p.marker = { panel: panel.id, kind: panel.kind, ...place }
  invalidate(p)
  p.trigger("pick", {
    t: p.stage.times[frame], frame, version: p.stage.versions.length ? p.version : null, panel: panel.id, ...details,
  })
}

// ---- Keyboard -----------------------------------------------------------------------

// The player that receives the keys: the one with the focus or used last, else the first one that is visible.
function keyReceiver() {
  const all = [...page.all].filter((p) => p.root.isConnected)
  const focused = all.find((p) => p.root.getRootNode().activeElement && p.root.matches(":focus-within"))
  if (focused) return focused
  if (page.last?.root.isConnected && page.last.visible) return page.last
  const inOrder = (a, b) => (a.root.getBoundingClientRect().top - b.root.getBoundingClientRect().top)
  return all.filter((p) => p.visible).sort(inOrder)[0] || null
}

// Fields, sliders, menus and other components use their own keys.
const USES_KEYS = "input,textarea,select,[contenteditable]:not([contenteditable=false]),[role=slider]," +
  "[role=combobox],[role=listbox],[role=option],[role=menu],[role=tab],[role=radio],[role=dialog],[role=grid]"
function keysAreFree(p, event) {
  const target = event.composedPath()[0]
  if (!(target instanceof Element) || target === document.body) return true
  if (p.root.contains(target)) {
    if (target.matches("input,select")) return false
    return !(target.matches("button") && (event.key === " " || event.key === "Enter"))
  }
  if (target.getRootNode() !== document || target.closest(USES_KEYS)) return false
  return !(target.closest("button,a,summary,[role=button]") && event.key === " ")
}

function keyAction(p, event) {
  const last = p.stage.times.length - 1
  const speed = (n) => setSpeed(p, SPEEDS[clamp(SPEEDS.indexOf(p.speed) + n, 0, SPEEDS.length - 1)])
  const many = event.shiftKey ? 10 : 1
  const versions = versionKeys(p, event)
  if (versions[event.key]) return versions[event.key]
  return {
    " ": () => togglePlay(p),
    ArrowLeft: () => step(p, -many),
    ArrowRight: () => step(p, many),
    Home: () => step(p, -last),
    End: () => step(p, last),
    "[": () => speed(-1),
    "]": () => speed(1),
    l: () => changeLoop(p),
    f: () => toggleFull(p),
    "?": () => setHelp(p, p.help.hidden),
    Escape: () => escape(p),
  }[event.key.length === 1 ? event.key.toLowerCase() : event.key]
}

// Up and down always change the version; on the slider of versions all slider keys do.
function versionKeys(p, event) {
  if (!p.stage.versions.length) return {}
  const many = event.shiftKey ? 5 : 1
  const [back, ahead] = [() => stepVersion(p, -many), () => stepVersion(p, many)]
  const keys = { ArrowUp: ahead, ArrowDown: back }
  if (event.composedPath()[0] !== p.versionRow.bar) return keys
  const end = p.stage.versions.length - 1
  return { ...keys, ArrowLeft: back, ArrowRight: ahead, Home: () => stepVersion(p, -end), End: () => stepVersion(p, end) }
}

function onKey(p, event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !p.stage) return
  if (keyReceiver() !== p || !keysAreFree(p, event)) return
  const act = keyAction(p, event)
  if (!act || (event.repeat && " lf?".includes(event.key))) return
  if (event.key !== "Escape") event.preventDefault()
  act()
}

function escape(p) {
  if (!p.help.hidden) return setHelp(p, false)
  if (p.root.classList.contains("filled-page")) return toggleFull(p)
  p.marker = null
  p.hover = null
  invalidate(p)
}

function setHelp(p, open) {
  p.help.hidden = !open
  open ? p.help.focusClose() : p.root.focus({ preventScroll: true })
}
