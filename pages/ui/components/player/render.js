// ---- Drawing on demand --------------------------------------------------------------

const PAINTERS = { particles: drawParticles, images: drawImages }

// Images need the full density: their pixels would otherwise be uneven on the screen.
const pixelRatio = (panel) => Math.min(window.devicePixelRatio || 1, panel.kind === "images" ? 4 : 2.5)

// Something changed: draw once, before the next paint. While playing, `tick` draws and leaves the buttons unchanged.
function invalidate(p) {
  p.dirty = true
  p.switched = true
  if (!p.request) p.request = requestAnimationFrame((now) => tick(p, now))
}

function tick(p, now) {
  p.request = 0
  const running = () => p.replay !== null || (p.playing && p.leading)
  if (running()) {
    // After a long gap (hidden tab, busy page) the picture must not jump.
    const seconds = Math.min(0.1, Math.max(0, (now - (p.before || now)) / 1000))
    p.replay === null ? advance(p, seconds) : advanceReplay(p, seconds)
    p.before = now
  }
  if (p.dirty && p.visible) render(p)
  if (running() && !p.request) p.request = requestAnimationFrame((next) => tick(p, next))
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
  timeline.play.show(p.playing ? "pause" : "play", p.playing ? "Pause (Space)" : "Play (Space)")
  timeline.loop.show("loop", `${LOOP_TEXT(p.loop)} (L)`, p.loop)
  timeline.direction.show(p.direction, DIRECTION_TEXT[p.direction])
  if (Number(timeline.speed.value) !== p.speed) timeline.speed.value = p.speed
  tools.trails.show("trails", p.trails ? "Trails: on" : "Trails: off", p.trails)
  tools.colour.show("colour", COLOUR_TEXT[p.colour], p.colour !== "role")
  const full = isFull(p)
  tools.full.show(full ? "unfull" : "full", full ? "Exit full screen (F)" : "Full screen (F)")
  if (p.root.dataset.playing !== String(p.playing)) p.root.dataset.playing = p.playing
  for (const word of p.root.querySelectorAll(".word")) {
    const pressed = String(p.on.has(word.dataset.layer))
    if (word.getAttribute("aria-pressed") !== pressed) word.setAttribute("aria-pressed", pressed)
  }
}
