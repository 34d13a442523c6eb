// ---- Pointer ------------------------------------------------------------------------

function pointing(p, view, canvas) {
  const place = (event) => {
    const box = canvas.getBoundingClientRect()
    return [event.clientX - box.left, event.clientY - box.top]
  }
  const point = (event) => {
    const [x, y] = place(event)
    setHover(p, view, findParticle(p, view, x, y))
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
    if (event.pointerType === "mouse") setHover(p, view, -1)
  })
  canvas.addEventListener("click", (event) => {
    if (held && event.pointerType !== "mouse") return // a long press only looks
    if (event.pointerType !== "mouse") point(event)
    pick(p, view, ...place(event))
  })
}

function findParticle(p, view, x, y) {
  if (!p.on.has(view.panel.id)) return -1
  const camera = cameraFor(p.stage, view.width, view.height)
  return nearestParticle(p.stage, view.panel, camera, p.position, x, y, REACH)
}

function setHover(p, view, index) {
  const next = index >= 0 ? { panel: view.index, index } : null
  if (p.hover?.index === next?.index && p.hover?.panel === next?.panel) return
  p.hover = next
  invalidate(p)
}

const signed = (value) => formatNumber(value, 3)

function showTip(p) {
  for (const view of p.panels) {
    const here = p.hover?.panel === view.index
    const code = here && locate(view.panel, p.stage.times.length, p.position, p.hover.index)
    view.tip.hidden = !code
    if (!code) continue
    const camera = cameraFor(p.stage, view.width, view.height)
    const [x, y] = [camera.left + code[0] * camera.step, camera.bottom - code[1] * camera.step]
    view.tip.replaceChildren(
      el("b", {}, `Particle ${p.hover.index + 1}`), el("span", {}, `t = ${p.stage.times[p.frame]}`),
      el("span", {}, `(${signed(valueOf(p.stage, code[0]))}, ${signed(valueOf(p.stage, code[1]))})`))
    // Beside the particle, on the side where there is room.
    const right = x > view.width - 170
    const up = y > view.height - 90
    view.tip.style.transform = `translate(${x + (right ? -12 : 12)}px, ${y + (up ? -12 : 12)}px) ` +
      `translate(${right ? -100 : 0}%, ${up ? -100 : 0}%)`
  }
}

function pick(p, view, x, y) {
  const camera = cameraFor(p.stage, view.width, view.height)
  const index = findParticle(p, view, x, y)
  const frame = Math.round(p.position)
  const code = index >= 0 ? locate(view.panel, p.stage.times.length, p.position, index) : null
  const place = code
    ? { x: valueOf(p.stage, code[0]), y: valueOf(p.stage, code[1]) }
    : { x: p.stage.low + (x - camera.left) / camera.scale, y: p.stage.low + (camera.bottom - y) / camera.scale }
  p.marker = { panel: view.panel.id, ...place }
  invalidate(p)
  p.trigger("pick", {
    t: p.stage.times[frame], frame, ...place, panel: view.panel.id, particle: index >= 0 ? index : null,
  })
}

// ---- Keyboard -----------------------------------------------------------------------

// One player answers: the one that was used last or has the focus, else the first one
// that can be seen.
function answering() {
  const all = [...page.all].filter((p) => p.root.isConnected)
  const focused = all.find((p) => p.root.getRootNode().activeElement && p.root.matches(":focus-within"))
  if (focused) return focused
  if (page.last?.root.isConnected && page.last.visible) return page.last
  const inOrder = (a, b) => (a.root.getBoundingClientRect().top - b.root.getBoundingClientRect().top)
  return all.filter((p) => p.visible).sort(inOrder)[0] || null
}

// Fields, sliders, menus and other components keep their keys.
const OCCUPIED = "input,textarea,select,[contenteditable]:not([contenteditable=false]),[role=slider]," +
  "[role=combobox],[role=listbox],[role=option],[role=menu],[role=tab],[role=radio],[role=dialog],[role=grid]"
function keysAreFree(p, event) {
  const target = event.composedPath()[0]
  if (!(target instanceof Element) || target === document.body) return true
  if (p.root.contains(target)) {
    if (target.matches("input,select")) return false
    return !(target.matches("button") && (event.key === " " || event.key === "Enter"))
  }
  if (target.getRootNode() !== document || target.closest(OCCUPIED)) return false
  return !(target.closest("button,a,summary,[role=button]") && event.key === " ")
}

function keyAction(p, event) {
  const last = p.stage.times.length - 1
  const speed = (n) => setSpeed(p, SPEEDS[clamp(SPEEDS.indexOf(p.speed) + n, 0, SPEEDS.length - 1)])
  const many = event.shiftKey ? 10 : 1
  return {
    " ": () => setPlaying(p, !p.playing),
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

function onKey(p, event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !p.stage) return
  if (answering() !== p || !keysAreFree(p, event)) return
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
