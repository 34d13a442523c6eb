// ---- Payload: bytes -> checked stage ---------------------------------------------
// The layout is described in pack.py.

const MISSING = 65535
const STEPS = 65534

const ARRAYS = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f4: Float32Array }

// Returns the header with `arrays`: block name -> typed array.
function parsePayload(bytes) {
  const { head: stage, start } = readMessage(bytes, "DPM1", "The trajectory")
  // slice() makes a copy that starts at an aligned address.
  const body = bytes.slice(start).buffer
  stage.arrays = {}
  for (const { name, offset, shape, type } of stage.blocks || []) {
    const Type = Object.hasOwn(ARRAYS, type) ? ARRAYS[type] : null
    const count = shape.reduce((a, b) => a * b, 1)
    need(Type && Number.isInteger(count) && count >= 0 && offset >= 0 && offset % 4 === 0 &&
      offset + count * Type.BYTES_PER_ELEMENT <= body.byteLength,
      `The trajectory could not be read: block ${name} is incomplete.`)
    stage.arrays[name] = new Type(body, offset, count)
  }
  checkStage(stage)
  return stage
}

function checkStage(stage) {
  const broken = "The trajectory could not be read: its header and its data do not agree."
  const frames = Array.isArray(stage.times) ? stage.times.length : 0
  need(frames > 0 && Array.isArray(stage.panels) && stage.panels.length > 0, broken)
  need(stage.hi > stage.lo && stage.span > 0 && stage.duration > 0, broken)
  need(Array.isArray(stage.versions), broken)
  const versions = stage.versions.length || 1
  for (const panel of stage.panels) {
    const images = panel.kind === "images"
    panel.block = stage.arrays[`${panel.id}/${images ? "pixels" : "positions"}`]
    const size = images ? panel.height * panel.width * panel.channels : 2
    const all = frames * (panel.versioned ? versions : 1)
    panel.stride = panel.bits ? Math.ceil((panel.n * size) / 8) : panel.n * size // of a frame
    need(size > 0 && panel.n > 0 && panel.block?.length === all * panel.stride, broken)
    for (const layer of panel.layers) {
      const block = (part) => stage.arrays[`${panel.id}/${layer.id}/${part}`]
      need(layer.frames > 0, broken)
      if (layer.kind === "arrows") {
        layer.start = block("start")
        layer.block = block("end")
        const ends = layer.frames * (layer.versioned ? versions : 1)
        need(layer.start && layer.block?.length === layer.start.length * ends, broken)
      } else if (layer.kind === "mesh") {
        layer.points = block("points")
        const shape = stage.blocks.find((b) => b.name === `${panel.id}/${layer.id}/points`)?.shape
        need(layer.points && shape?.[0] === layer.frames, broken)
        ;[, layer.rows, layer.cols] = shape
      } else {
        indexLines(layer, block("points"), block("lengths"), block("lines"), broken)
      }
    }
  }
  stage.readouts.forEach((card, i) => {
    if (card.kind === "histogram") {
      const size = frames * (card.edges?.length - 1)
      card.counts = stage.arrays[`cards/${i}/counts`]
      card.curve = stage.arrays[`cards/${i}/curve`] || null
      need([size, versions * size].includes(card.counts?.length), broken)
      need(!card.curve || [size, card.edges.length - 1].includes(card.curve.length), broken)
    } else need(card.kind === "formula" ? card.values && card.html : Array.isArray(card.values), broken)
  })
}

// lengths: points of each line; lines: lines in each frame. Makes layer.first (the
// first line of each frame) and layer.at (the first point of each line).
function indexLines(layer, points, lengths, lines, broken) {
  need(points && lengths && lines && lines.length === layer.frames, broken)
  layer.points = points
  layer.first = [0]
  for (const n of lines) layer.first.push(layer.first.at(-1) + n)
  layer.at = [0]
  for (const n of lengths) layer.at.push(layer.at.at(-1) + n)
  need(layer.first.at(-1) === lengths.length && layer.at.at(-1) * 2 === points.length, broken)
}

// Everything that the elements are built from: while it stays the same, new numbers and positions need no new elements.
const structureOf = (stage) => JSON.stringify([
  stage.height, stage.caption, stage.clock, stage.versions.length > 0, stage.versions_label,
  stage.panels.map((p) => [p.kind, p.id, p.label, p.role, p.note, p.layers.map((l) => [l.id, l.label, l.role])]),
  stage.readouts.map((r) => [r.kind, r.title, r.unit, r.note, r.spark, r.role, r.html]),
])

// ---- Time ---------------------------------------------------------------------------
// A position on the timeline is a frame number, fractional between two frames. Clocks
// of several players are compared by t / T, because their frames may run either way.

function timeAt(stage, position) {
  const i = Math.min(Math.floor(position), stage.times.length - 1)
  const j = Math.min(i + 1, stage.times.length - 1)
  return stage.times[i] + (stage.times[j] - stage.times[i]) * (position - i)
}

// Position whose t is closest to the given one, between frames where t lies between.
function positionOf(stage, t, near = 0) {
  let best = 0
  let error = Infinity
  for (let i = 0; i < stage.times.length; i++) {
    const a = stage.times[i]
    const b = stage.times[Math.min(i + 1, stage.times.length - 1)]
    const inside = a !== b && (t - a) * (t - b) <= 0
    const position = inside ? i + (t - a) / (b - a) : i
    // Of several exact positions the one closest to `near`: a trajectory may pass the same t twice.
    const miss = (inside ? 0 : Math.abs(a - t)) + Math.abs(position - near) * 1e-9
    if (miss < error) [best, error] = [position, miss]
  }
  return best
}

// Fixed decimals, so that a changing number keeps its width; very small numbers are written with powers of ten.
function formatNumber(value, digits) {
  if (value === null || value === undefined) return "–"
  if (value !== 0 && Math.abs(value) < 0.5 * 10 ** -digits) {
    const [mantissa, exponent] = value.toExponential(1).split("e")
    return `${withMinus(mantissa)}×10${superscript(Number(exponent))}`
  }
  const text = Math.abs(value) >= 10000
    ? value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })
    : value.toFixed(digits)
  return withMinus(text)
}
