// ---- Versions: a second axis beside time --------------------------------------------
// The payload holds all versions of all panels. Choosing one sets the arrays of panels, layers and cards to its part;
// the drawing code uses one version only.

const REPLAY = 4 // seconds for all versions at speed 1.0

function chooseVersion(stage, version) {
  const count = stage.versions.length || 1
  const part = (block, versioned) => {
    const size = block.length / count
    return versioned ? block.subarray(version * size, (version + 1) * size) : block
  }
  const series = (values) => (Array.isArray(values[0]) ? values[version] : values)
  for (const panel of stage.panels) {
    panel[panel.kind === "images" ? "pixels" : "positions"] = part(panel.block, panel.versioned)
    for (const layer of panel.layers) if (layer.kind === "arrows") layer.points = part(layer.block, layer.versioned)
  }
  for (const card of stage.readouts) {
    if (card.kind === "histogram") {
      const size = stage.times.length * (card.edges.length - 1)
      card.now = part(card.counts, card.counts.length > size)
    } else if (card.kind === "formula") {
      card.now = Object.fromEntries(Object.entries(card.values).map(([name, values]) => [name, series(values)]))
    } else card.now = series(card.values)
  }
}

// The version to show when a new stage replaces the old one: the last one if the last one was shown; otherwise the one
// with the same label or, where that is missing, the one at the same fraction of the list.
function versionAfter(old, version, stage) {
  const last = Math.max(0, stage.versions.length - 1)
  if (!old?.versions.length || version >= old.versions.length - 1) return last
  const same = stage.versions.indexOf(old.versions[version])
  return same >= 0 ? same : Math.round((version / (old.versions.length - 1)) * last)
}

const versionText = (p) => (p.stage.versions.length ? `${p.stage.versions_label} ${p.stage.versions[p.version]}` : "")

// actions: {replay, stepVersion(n), scrubVersion(share, phase)}.
function buildVersions(actions) {
  const play = iconButton("play", "Play", actions.replay, "play small")
  const label = el("output", { class: "when", "aria-live": "off" })
  const back = iconButton("back", "Previous version (↓)", () => actions.stepVersion(-1), "tool step")
  const ahead = iconButton("ahead", "Next version (↑)", () => actions.stepVersion(1), "tool step")
  const { bar, track } = buildBar("")
  scrubbing(bar, track, actions.scrubVersion)
  const root = el("div", { class: "row versions" }, play, label, back, ahead, bar)
  return { root, play, label, bar }
}

function showVersion(p) {
  const { stage, versionRow } = p
  versionRow.root.hidden = !stage.versions.length
  if (!stage.versions.length) return
  const last = stage.versions.length - 1
  const text = versionText(p)
  versionRow.bar.style.setProperty("--at", last ? (p.replay ?? p.version) / last : 1)
  versionRow.play.show(p.replay === null ? "play" : "pause",
    p.replay === null ? `Play every ${stage.versions_label}` : "Pause")
  versionRow.play.disabled = last === 0
  const shown = JSON.stringify([text, p.version, last])
  if (versionRow.shown === shown) return
  versionRow.shown = shown
  versionRow.label.textContent = text
  // room for seven characters from the start: a longer label would move the bar under the pointer
  const widest = Math.max(7, ...stage.versions.map((version) => version.length))
  versionRow.label.style.minWidth = `${stage.versions_label.length + widest - 0.5}ch`
  for (const [name, value] of Object.entries({ label: stage.versions_label, valuemax: last, valuenow: p.version, valuetext: text })) {
    versionRow.bar.setAttribute(`aria-${name}`, value)
  }
  p.root.dataset.version = p.version
}

function useVersion(p, version) {
  const next = clamp(Math.round(version), 0, Math.max(0, p.stage.versions.length - 1))
  p.dirty = true
  if (next === p.version) return
  p.version = next
  chooseVersion(p.stage, next)
  for (const view of p.panels) view.colours = {}
}

function setVersion(p, version) {
  useVersion(p, version)
  invalidate(p)
}

function stepVersion(p, n) {
  p.replay = null
  setVersion(p, p.version + n)
}

function scrubVersion(p, share, phase) {
  p.replay = null
  if (phase !== "end") setVersion(p, share * (p.stage.versions.length - 1))
}

// Plays all versions at a fixed t.
function toggleReplay(p) {
  if (p.replay !== null) return stepVersion(p, 0)
  const last = p.stage.versions.length - 1
  if (last < 1) return
  if (p.playing) setPlaying(p, false)
  p.replay = p.version >= last ? 0 : p.version
  p.before = 0
  setVersion(p, p.replay)
}

function advanceReplay(p, seconds) {
  const last = p.stage.versions.length - 1
  p.replay = Math.min(last, p.replay + (seconds * p.speed * last) / REPLAY)
  useVersion(p, p.replay)
  if (p.replay >= last) p.replay = null
}
