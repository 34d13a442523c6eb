// ---- Player: one object holds its state ------------------------------------------------
// p.stage: the checked payload; p.position: the frame shown, fractional between two frames; p.leading: this player
// moves the clock that it shares with others; p.replay: the version shown while versions are played, else null.

// Shared by all players of the page, also across copies of this module. last: the player used last.
const page = (window.__dpmPlayers ??= { all: new Set(), last: null, clocks: new Map() })

function createPlayer(parent) {
  const p = {
    stage: null, bytes: null, structure: "", panels: [], cards: [],
    position: 0, playing: false, leading: false, resume: false, rest: 0, before: 0,
    speed: 1, loop: false, direction: "forward", heading: 1, colour: "role", trails: false,
    version: 0, replay: null, font: { size: 13, family: "sans-serif" },
    on: new Set(), hover: null, marker: null, frame: -1, request: 0, dirty: true, switched: true,
    visible: true, draws: 0, palette: null, trigger: () => {}, listeners: new Listeners(),
  }
  const actions = {
    toggle: () => togglePlay(p),
    replay: () => toggleReplay(p),
    stepVersion: (n) => stepVersion(p, n),
    scrubVersion: (share, phase) => scrubVersion(p, share, phase),
    step: (n) => step(p, n),
    scrub: (share, phase) => scrub(p, share, phase),
    speed: (value) => setSpeed(p, value),
    loop: () => changeLoop(p),
    direction: () => changeDirection(p),
    trails: () => { p.trails = !p.trails; invalidate(p) },
    colour: () => { p.colour = after(Object.keys(COLOUR_TEXT), p.colour); p.tools.announce(COLOUR_TEXT[p.colour]); invalidate(p) },
    image: () => downloadImage(p),
    link: () => copyLink(p),
    full: () => toggleFull(p),
    help: () => setHelp(p, p.help.hidden),
  }
  p.panelBox = el("div", { class: "panels" })
  p.timeline = buildTimeline(actions)
  p.versionRow = buildVersions(actions)
  p.tools = buildTools(actions)
  p.caption = el("p", { class: "caption" })
  p.cardBox = el("div", { class: "cards" })
  p.help = buildHelp(() => setHelp(p, false))
  p.error = el("p", { class: "error", role: "alert" })
  p.error.hidden = true
  p.layout = el("div", { class: "layout" }, p.panelBox,
    el("div", { class: "timeline" }, p.timeline.root, p.versionRow.root),
    el("div", { class: "foot" }, p.caption, p.tools.root), p.cardBox)
  p.root = el("div", { class: "dpm-player", tabindex: "-1" }, p.error, p.layout, p.help)
  p.root.dataset.draws = "0"
  parent.append(p.root)
  listen(p)
  return p
}

// ---- Life ---------------------------------------------------------------------------

function listen(p) {
  const on = (...listener) => p.listeners.add(...listener)
  on(window, "keydown", (event) => onKey(p, event))
  on(window, "dpm-clock", (event) => hearClock(p, event.detail))
  on(window, "resize", () => invalidate(p)) // also comes when the page is zoomed
  on(document, "fullscreenchange", () => invalidate(p))
  on(p.root, "pointerdown", (event) => {
    page.last = p
    // A click gives the player the keyboard focus, but a clicked button must not receive the Space key afterwards.
    if (!event.target.closest("input,select,.bar")) p.root.focus({ preventScroll: true })
  })
  on(p.root, "mousedown", (event) => {
    if (!event.target.closest("input,select,.bar,.caption,.card,.sheet") || event.target.closest("button")) event.preventDefault()
  })
  on(p.timeline.speed, "change", () => p.root.focus({ preventScroll: true }))
  p.resizer = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) {
      const view = p.panels.find((v) => v.root === target)
      if (view) Object.assign(view, { width: contentRect.width, height: contentRect.height })
    }
    readFont(p) // in full screen the text is larger
    // Drawn immediately: a new size clears the canvas, and it would be shown empty.
    render(p)
  })
  p.watcher = new IntersectionObserver(([entry]) => {
    p.visible = entry.isIntersecting
    if (p.visible && p.dirty) invalidate(p)
  })
  p.watcher.observe(p.root)
  page.all.add(p)
}

function dispose(p) {
  if (p.playing && p.leading) setPlaying(p, false)
  cancelAnimationFrame(p.request)
  p.listeners.removeAll()
  p.resizer.disconnect()
  p.watcher.disconnect()
  page.all.delete(p)
  if (page.last === p) page.last = null
  for (const [name, detail] of page.clocks) if (detail.from === p) page.clocks.delete(name)
  p.root.remove()
}

// The colours that the style sheet gives this theme.
function readPalette(p) {
  const palette = { dark: applyTheme(p.root) }
  for (const name of ["data", "model", "exact", "noise", "ink", "quiet", "ground", "line"]) {
    palette[name] = variableColour(p.root, `--${name}`)
  }
  p.palette = palette
  for (const view of p.panels) view.colours = {}
}

// The font of texts that are drawn on a canvas.
function readFont(p) {
  const style = getComputedStyle(p.root)
  p.font = { size: 0.8125 * parseFloat(style.fontSize), family: style.fontFamily }
}

export default function ({ data, parentElement, setTriggerValue }) {
  const p = instanceFor(parentElement, createPlayer)
  p.trigger = setTriggerValue
  try {
    receive(p, data)
    p.error.hidden = true
  } catch (error) {
    p.error.textContent = error.name === "Error" ? error.message : "The trajectory could not be shown."
    p.error.hidden = false
  }
  p.layout.hidden = !p.stage
  readPalette(p)
  invalidate(p)
  return disposeWhenRemoved(parentElement, p, dispose)
}
