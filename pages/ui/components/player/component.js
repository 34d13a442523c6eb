// ---- Player: state, clock, input ----------------------------------------------------

// State outlives the calls of the component function, which comes again with new data
// or another theme for the same parent element.
const players = new WeakMap()

// Shared by all players of the page, also across copies of this module.
const page = (window.__dpmPlayers ??= { all: new Set(), last: null, clocks: new Map() })

const END_REST = 0.8 // seconds a loop stays at its end, so that the result can be seen
const TURN_REST = 0.4
const PAINTERS = { particles: drawParticles, images: drawImages }
const CARDS = { number: numberCard, formula: formulaCard, histogram: histogramCard }
const REACH = 14 // css px within which a particle counts as pointed at
const STILL = matchMedia("(prefers-reduced-motion: reduce)")

// Settings that the page may change; a visitor's choice stays until it does.
const SETTINGS = ["loop", "direction", "colour"]

function createPlayer(host) {
  const p = {
    host, stage: null, bytes: null, structure: "", panels: [], cards: [],
    position: 0, playing: false, leading: false, resume: false, rest: 0, before: 0,
    speed: 1, loop: false, direction: "forward", heading: 1, colour: "role", trails: false,
    version: 0, replay: null, font: { size: 13, family: "sans-serif" },
    on: new Set(), hover: null, marker: null, frame: -1, request: 0, dirty: true, switched: true,
    visible: true, draws: 0, palette: null, trigger: () => {}, undo: [],
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
    turn: () => changeDirection(p),
    trails: () => { p.trails = !p.trails; invalidate(p) },
    colour: () => { p.colour = after(Object.keys(COLOUR_TEXT), p.colour); p.tools.say(COLOUR_TEXT[p.colour]); invalidate(p) },
    image: () => saveImage(p),
    link: () => copyLink(p),
    full: () => toggleFull(p),
    help: () => setHelp(p, p.help.hidden),
  }
  p.panelBox = el("div", { class: "panels" })
  p.timeline = buildTimeline(actions)
  p.learning = buildVersions(actions)
  p.tools = buildTools(actions)
  p.caption = el("p", { class: "caption" })
  p.cardBox = el("div", { class: "cards" })
  p.help = buildHelp(() => setHelp(p, false))
  p.error = el("p", { class: "error", role: "alert" })
  p.error.hidden = true
  p.layout = el("div", { class: "layout" }, p.panelBox,
    el("div", { class: "timeline" }, p.timeline.root, p.learning.root),
    el("div", { class: "foot" }, p.caption, p.tools.root), p.cardBox)
  p.root = el("div", { class: "dpm-player", tabindex: "-1" }, p.error, p.layout, p.help)
  p.root.dataset.draws = "0"
  host.append(p.root)
  listen(p)
  return p
}

// ---- Data ---------------------------------------------------------------------------

function receive(p, data) {
  if (!(data instanceof Uint8Array)) throw new Error("The trajectory could not be read: no data arrived.")
  if (sameBytes(p.bytes, data)) return
  const bytes = data.slice()
  const stage = parsePayload(bytes)
  const old = p.stage
  const wasAt = old ? timeAt(old, p.position) / (old.T || 1) : null
  const sameEnd = old && p.position === old.times.length - 1
  p.stage = stage
  p.bytes = bytes
  p.frame = -1
  p.version = versionAfter(old, p.version, stage)
  p.root.dataset.versions = stage.versions.length
  if (p.replay !== null) p.replay = p.version
  chooseVersion(stage, p.version)
  adoptSettings(p, stage, old)
  const structure = structureOf(stage)
  if (structure !== p.structure) buildStage(p, stage)
  p.structure = structure
  stage.panels.forEach((panel, i) => {
    Object.assign(p.panels[i], { panel, colours: {} })
    p.panels[i].surface.canvas.setAttribute("aria-label", altText(panel))
  })
  if (p.hover && !stillThere(stage.panels[p.hover.panel], p.hover)) p.hover = null
  const last = stage.times.length - 1
  if (old) {
    // The same t where it is present, else the same share of the way.
    const t = old.T === stage.T ? wasAt * old.T : wasAt * stage.T
    p.position = sameEnd ? last : positionOf(stage, t, p.position)
    if (!p.playing) p.position = Math.round(p.position)
  } else {
    p.position = p.direction === "backward" ? last : 0
    if (stage.start !== null) p.position = Math.round(positionOf(stage, stage.start))
    const linked = applyLink(p)
    joinClock(p)
    if (stage.autoplay && !linked && !STILL.matches && !p.leader) setPlaying(p, true)
  }
  if (old && stage.autoplay && !old.autoplay && !STILL.matches) setPlaying(p, true)
}

const stillThere = (panel, { index, x, y }) =>
  index < panel.n && (panel.kind !== "images" || (x < panel.width && y < panel.height))

function altText(panel) {
  const what = panel.kind === "images" ? `images of ${panel.width} by ${panel.height} pixels` : "particles"
  const list = panel.captions?.length ? `: ${panel.captions.join(", ")}` : ""
  return `${panel.label} ${panel.note.replace(/<\/?su[bp]>/g, "")}: ${panel.n} ${what}${list}`
}

function adoptSettings(p, stage, old) {
  for (const name of SETTINGS) if (!old || old[name] !== stage[name]) p[name] = stage[name]
  p.heading = p.direction === "backward" ? -1 : p.direction === "forward" ? 1 : p.heading
  const idsOf = (s) => s.panels.flatMap((panel) => panel.layers.map((layer) => layer.id))
  const panelIds = (s) => s.panels.map((panel) => panel.id)
  const wanted = (s) => new Set([...s.on, ...panelIds(s)])
  const [now, before] = [wanted(stage), old ? wanted(old) : new Set()]
  const known = new Set(old ? [...idsOf(old), ...panelIds(old)] : [])
  for (const id of [...idsOf(stage), ...panelIds(stage)]) {
    if (known.has(id) && now.has(id) === before.has(id)) continue
    now.has(id) ? p.on.add(id) : p.on.delete(id)
  }
}

function buildStage(p, stage) {
  for (const view of p.panels) p.resizer.unobserve(view.root)
  p.panels = stage.panels.map((panel, index) => buildPanel(p, panel, index))
  p.panelBox.replaceChildren(...p.panels.map((view) => view.root))
  for (const view of p.panels) p.resizer.observe(view.root)
  const go = (share) => seek(p, Math.round(share * (p.stage.times.length - 1)))
  p.cards = stage.readouts.map((card) => CARDS[card.kind](card, go))
  p.cardBox.replaceChildren(...p.cards.map((card) => card.root))
  p.caption.replaceChildren(richText(stage.caption, (id, word) => layerToggle(p, id, word)))
  p.root.dataset.cards = stage.readouts.length
  p.root.dataset.panels = stage.panels.length
  p.root.dataset.height = stage.height
  p.root.dataset.caption = stage.caption ? "yes" : "no"
  p.tools.trails.hidden = p.tools.colour.hidden = stage.panels.every((panel) => panel.kind === "images")
  p.help.describe(stage)
  p.hover = null
}

function layerToggle(p, id, word) {
  const known = p.stage.panels.some((panel) => panel.id === id || panel.layers.some((l) => l.id === id))
  if (!known) return word
  const flip = () => {
    p.on.has(id) ? p.on.delete(id) : p.on.add(id)
    invalidate(p)
  }
  return el("button", { type: "button", class: "word", "data-layer": id, onclick: flip }, word)
}

function buildPanel(p, panel, index) {
  const canvas = el("canvas", { role: "img" })
  const legend = el("div", { class: "legend" }, el("i", { class: `dot ${panel.role}` }),
    layerToggle(p, panel.id, panel.label), ...panel.layers.map((layer) => layerToggle(p, layer.id, layer.label)))
  if (panel.note) {
    const note = el("span", { class: "note" })
    note.append(richText(panel.note))
    legend.append(note)
  }
  const tip = el("div", { class: "tip" })
  tip.hidden = true
  const root = el("div", { class: "panel" }, canvas, legend, tip)
  const view = { root, tip, panel, index, surface: { canvas }, width: 0, height: 0, colours: {} }
  pointing(p, view, canvas)
  return view
}

// ---- Drawing on demand --------------------------------------------------------------

// Images are not thrifty with it: pixels that do not meet the screen's would be uneven.
const pixelRatio = (panel) => Math.min(window.devicePixelRatio || 1, panel.kind === "images" ? 4 : 2.5)

// Something changed: draw at the next chance, once. While playing only `tick` draws,
// and the switches are left alone.
function invalidate(p) {
  p.dirty = true
  p.switched = true
  if (!p.request) p.request = requestAnimationFrame((now) => tick(p, now))
}

function tick(p, now) {
  p.request = 0
  const running = () => p.replay !== null || (p.playing && p.leading)
  if (running()) {
    // A long gap (hidden tab, busy page) must not make the picture leap.
    const seconds = Math.min(0.1, Math.max(0, (now - (p.before || now)) / 1000))
    p.replay === null ? advance(p, seconds) : advanceReplay(p, seconds)
    p.before = now
  }
  if (p.dirty && p.visible) render(p)
  if (running() && !p.request) p.request = requestAnimationFrame((next) => tick(p, next))
}

function advance(p, seconds) {
  const last = p.stage.times.length - 1
  if (p.rest > 0) {
    p.rest -= seconds
    if (p.rest > 0) return
    if (p.direction !== "pingpong") p.position = p.heading > 0 ? 0 : last
  } else {
    p.position += p.heading * seconds * p.speed * (last / p.stage.duration)
  }
  const over = p.heading > 0 ? p.position >= last : p.position <= 0
  p.position = clamp(p.position, 0, last)
  p.dirty = true
  if (over) arrive(p)
  tellClock(p)
}

function arrive(p) {
  if (p.direction === "pingpong" && (p.heading > 0 || p.loop)) {
    p.heading = -p.heading
    p.rest = TURN_REST
  } else if (p.loop) p.rest = END_REST
  else setPlaying(p, false)
}

function render(p) {
  if (!p.stage || !p.palette) return
  p.dirty = false
  for (const view of p.panels) {
    const { surface, panel, width, height } = view
    if (width > 0 && height > 0) PAINTERS[panel.kind](surface, sceneOf(p, view), width, height, pixelRatio(panel))
  }
  p.draws += 1
  p.root.dataset.draws = p.draws
  showTime(p)
  showVersion(p)
  if (p.switched) showSwitches(p)
  p.switched = false
  showTip(p)
}

const sceneOf = (p, view) => ({
  stage: p.stage, panel: view.panel, position: p.position, heading: p.heading, palette: p.palette,
  font: p.font, colour: p.colour, on: p.on, trails: p.trails, hover: p.hover?.panel === view.index ? p.hover : null,
  marker: p.marker?.panel === view.panel.id && p.marker.kind === view.panel.kind ? p.marker : null, colours: view.colours,
})

const timeText = (p) => `t = ${p.stage.times[p.frame]} of ${p.stage.T}`

function showTime(p) {
  const { stage, timeline } = p
  const last = stage.times.length - 1
  const share = last ? p.position / last : 0
  timeline.bar.style.setProperty("--at", share)
  p.cards.forEach((card, i) => card.update(stage.readouts[i], Math.round(p.position), share))
  const frame = Math.round(p.position)
  if (frame === p.frame) return
  p.frame = frame
  const text = timeText(p)
  timeline.label.textContent = text
  // Room for the longest text, so that the bar does not move while numbers run.
  const widest = Math.max(...stage.times.map((t) => String(t).length))
  timeline.label.style.minWidth = `${`t =  of ${stage.T}`.length + widest - 1.5}ch`
  timeline.bar.setAttribute("aria-valuemax", last)
  timeline.bar.setAttribute("aria-valuenow", frame)
  timeline.bar.setAttribute("aria-valuetext", text)
  timeline.play.disabled = last === 0
  Object.assign(p.root.dataset, { t: stage.times[frame], frame, frames: last + 1 })
}

function showSwitches(p) {
  const { timeline, tools } = p
  timeline.play.show(p.playing ? "pause" : "play", p.playing ? "Pause (space)" : "Play (space)")
  timeline.loop.show("loop", p.loop ? "Loop is on (L)" : "Loop is off (L)", p.loop)
  timeline.turn.show(p.direction, DIRECTION_TEXT[p.direction])
  if (Number(timeline.speed.value) !== p.speed) timeline.speed.value = p.speed
  tools.trails.show("trails", p.trails ? "Trails are on" : "Trails are off", p.trails)
  tools.colour.show("colour", COLOUR_TEXT[p.colour], p.colour !== "role")
  const full = isFull(p)
  tools.full.show(full ? "unfull" : "full", full ? "Leave full screen (F)" : "Full screen (F)")
  if (p.root.dataset.playing !== String(p.playing)) p.root.dataset.playing = p.playing
  for (const word of p.root.querySelectorAll(".word")) {
    const pressed = String(p.on.has(word.dataset.layer))
    if (word.getAttribute("aria-pressed") !== pressed) word.setAttribute("aria-pressed", pressed)
  }
}

// ---- Playing ------------------------------------------------------------------------

const togglePlay = (p) => (p.replay === null ? setPlaying(p, !p.playing) : toggleReplay(p))

function setPlaying(p, playing) {
  const last = p.stage.times.length - 1
  playing = playing && last > 0
  if (playing) {
    if (p.direction === "pingpong") {
      if (p.position >= last) p.heading = -1
      if (p.position <= 0) p.heading = 1
    } else if (p.heading > 0 ? p.position >= last : p.position <= 0) {
      p.position = p.heading > 0 ? 0 : last
    }
  } else p.position = Math.round(p.position) // at rest we are at a t that exists
  if (playing) p.replay = null
  p.playing = playing
  p.leading = playing
  p.rest = 0
  p.before = 0
  tellClock(p)
  invalidate(p)
}

function seek(p, position) {
  p.position = clamp(position, 0, p.stage.times.length - 1)
  p.rest = 0
  tellClock(p)
  invalidate(p)
}

function step(p, n) {
  if (p.playing) setPlaying(p, false)
  seek(p, Math.round(p.position) + n)
}

function scrub(p, share, phase) {
  if (phase === "start") {
    p.resume = p.playing
    if (p.playing) setPlaying(p, false)
  }
  if (phase === "end") {
    seek(p, Math.round(p.position))
    if (p.resume) setPlaying(p, true)
    p.resume = false
  } else seek(p, share * (p.stage.times.length - 1))
}

function setSpeed(p, value) {
  if (SPEEDS.includes(value)) p.speed = value
  tellClock(p)
  invalidate(p)
}

function changeLoop(p) {
  p.loop = !p.loop
  p.tools.say(p.loop ? "Loop on" : "Loop off")
  tellClock(p)
  invalidate(p)
}

function changeDirection(p) {
  p.direction = after(Object.keys(DIRECTION_TEXT), p.direction)
  if (p.direction !== "pingpong") p.heading = p.direction === "forward" ? 1 : -1
  p.tools.say(DIRECTION_TEXT[p.direction])
  p.rest = 0
  invalidate(p)
}

// ---- One clock for several players --------------------------------------------------
// The player that was started leads and tells the others t / T; any other becomes the
// leader as soon as it is touched.

function tellClock(p) {
  if (!p.stage.clock) return
  const detail = {
    clock: p.stage.clock, from: p, share: timeAt(p.stage, p.position) / (p.stage.T || 1),
    playing: p.playing, speed: p.speed, loop: p.loop,
  }
  page.clocks.set(p.stage.clock, detail)
  window.dispatchEvent(new CustomEvent("dpm-clock", { detail }))
}

function hearClock(p, detail) {
  if (!p.stage?.clock || detail.clock !== p.stage.clock || detail.from === p) return
  const position = positionOf(p.stage, detail.share * p.stage.T, p.position)
  if (position !== p.position) p.heading = Math.sign(position - p.position)
  // who only points, as bars over t do, says nothing of speed
  const { speed = p.speed, loop = p.loop } = detail
  Object.assign(p, { position, playing: detail.playing, speed, loop, leading: false })
  invalidate(p)
}

function joinClock(p) {
  const detail = p.stage.clock ? page.clocks.get(p.stage.clock) : null
  p.leader = detail?.playing && page.all.has(detail.from) ? detail.from : null
  if (detail && page.all.has(detail.from)) hearClock(p, detail)
}

// ---- Life ---------------------------------------------------------------------------

function listen(p) {
  const on = (target, type, act, options) => {
    target.addEventListener(type, act, options)
    p.undo.push(() => target.removeEventListener(type, act, options))
  }
  on(window, "keydown", (event) => onKey(p, event))
  on(window, "dpm-clock", (event) => hearClock(p, event.detail))
  on(window, "resize", () => invalidate(p)) // also comes when the page is zoomed
  on(document, "fullscreenchange", () => invalidate(p))
  on(p.root, "pointerdown", (event) => {
    page.last = p
    // The keyboard follows the pointer, but a clicked button must not keep the space key.
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
    readFont(p) // full screen has another size of type
    // Drawn at once: the canvas is still empty at its new size before the next paint.
    render(p)
  })
  const watcher = new IntersectionObserver(([entry]) => {
    p.visible = entry.isIntersecting
    if (p.visible && p.dirty) invalidate(p)
  })
  watcher.observe(p.root)
  p.undo.push(() => p.resizer.disconnect(), () => watcher.disconnect())
  page.all.add(p)
}

function dispose(p) {
  if (p.playing && p.leading) setPlaying(p, false)
  cancelAnimationFrame(p.request)
  for (const undo of p.undo) undo()
  page.all.delete(p)
  if (page.last === p) page.last = null
  for (const [name, detail] of page.clocks) if (detail.from === p) page.clocks.delete(name)
  players.delete(p.host)
  p.root.remove()
}

// Reads the colours that the style sheet gives this theme.
function readPalette(p) {
  const style = getComputedStyle(p.root)
  const dark = isDark(rgbOf(style.getPropertyValue("--st-background-color").trim() || "#fff"))
  p.root.dataset.theme = dark ? "dark" : "light"
  const palette = { dark }
  for (const name of ["data", "model", "exact", "noise", "ink", "quiet", "ground", "line"]) {
    palette[name] = rgbOf(style.getPropertyValue(`--${name}`).trim())
  }
  p.palette = palette
  for (const view of p.panels) view.colours = {}
}

// The type of texts that are drawn in panels.
function readFont(p) {
  const style = getComputedStyle(p.root)
  p.font = { size: 0.8125 * parseFloat(style.fontSize), family: style.fontFamily }
}

export default function ({ data, parentElement, setTriggerValue }) {
  const p = players.get(parentElement) || createPlayer(parentElement)
  players.set(parentElement, p)
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
  // A call that was overtaken by a newer one is cleaned up although its element lives
  // on, so only an element that has left the page is taken down.
  return () => setTimeout(() => {
    if (!p.root.isConnected) dispose(p)
  })
}
