// ---- Following: what a player shows, as plain values, and the same taken over from the player of another browser ----

// The players of the page from top to bottom.
const playersInOrder = () => [...page.all].filter((p) => p.stage && p.root.isConnected)
  .sort((a, b) => (a.root.compareDocumentPosition(b.root) & Node.DOCUMENT_POSITION_PRECEDING ? 1 : -1))

function readMoment(p) {
  return {
    frames: p.stage.times.length, position: Math.round(100 * p.position) / 100, playing: p.playing, heading: p.heading, speed: p.speed,
    loop: p.loop, direction: p.direction, colour: p.colour, trails: p.trails, version: Math.round(p.version), replay: p.replay !== null,
    on: [...p.on].sort(),
  }
}

// Values of another data set (its frames are of another number) wait until this player has the same.
function applyMoment(p, m) {
  if (!m || m.frames !== p.stage.times.length) return
  const known = new Set(p.stage.panels.flatMap((panel) => [panel.id, ...panel.layers.map((layer) => layer.id)]))
  p.on = new Set(m.on.filter((id) => known.has(id)))
  if (m.version !== Math.round(p.version) && !m.replay && m.version < Math.max(1, p.stage.versions.length)) useVersion(p, m.version)
  if (m.replay && p.replay === null) toggleReplay(p)
  Object.assign(p, { heading: m.heading, speed: m.speed, loop: m.loop, direction: m.direction, colour: m.colour, trails: m.trails })
  const far = Math.abs(p.position - m.position) > p.stage.times.length / 10
  if (m.playing !== p.playing || !m.playing || far) {
    p.position = clamp(m.position, 0, p.stage.times.length - 1)
    if (m.playing !== p.playing) setPlaying(p, m.playing)
    else tellClock(p)
  }
  p.switched = true
  invalidate(p)
}

page.read = () => playersInOrder().map(readMoment)
page.apply = (moments) => playersInOrder().forEach((p, i) => applyMoment(p, moments[i]))
