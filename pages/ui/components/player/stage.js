// ---- Stage: a checked payload → elements, settings and position ------------------------

// Settings that the page may change; what the user has chosen stays until it does.
const SETTINGS = ["loop", "direction", "colour"]
const CARDS = { number: numberCard, formula: formulaCard, histogram: histogramCard }
const REDUCED_MOTION = matchMedia("(prefers-reduced-motion: reduce)")

function receive(p, data) {
  if (!(data instanceof Uint8Array)) throw new Error("The trajectory could not be read: no data arrived.")
  if (sameValues(p.bytes, data)) return
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
    // The same t where the chain has the same length, else the same t / T.
    const t = old.T === stage.T ? wasAt * old.T : wasAt * stage.T
    p.position = sameEnd ? last : positionOf(stage, t, p.position)
    if (!p.playing) p.position = Math.round(p.position)
  } else {
    p.position = p.direction === "backward" ? last : 0
    if (stage.start !== null) p.position = Math.round(positionOf(stage, stage.start))
    const linked = applyLink(p)
    joinClock(p)
    if (stage.autoplay && !linked && !REDUCED_MOTION.matches && !p.leader) setPlaying(p, true)
  }
  if (old && stage.autoplay && !old.autoplay && !REDUCED_MOTION.matches) setPlaying(p, true)
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
