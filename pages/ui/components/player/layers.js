// ---- Lines --------------------------------------------------------------------------

// Two frames of a layer and the share of the second, for a fractional stage frame. A
// layer may have fewer frames than the trajectory.
function layerFrames(layer, frames, position) {
  const at = frames > 1 ? (position / (frames - 1)) * (layer.frames - 1) : 0
  const a = Math.min(Math.floor(at), layer.frames - 1)
  return { a, b: Math.min(a + 1, layer.frames - 1), s: at - a, nearest: Math.round(at) }
}

function pathArrows(ctx, layer, where, px, py) {
  const count = layer.start.length / 2
  const head = 1.5
  ctx.beginPath()
  for (let i = 0; i < count; i++) {
    const a = (where.a * count + i) * 2
    const b = (where.b * count + i) * 2
    const p = layer.points
    if (layer.start[2 * i] === MISSING || p[a] === MISSING || p[b] === MISSING) continue
    const sx = px(layer.start[2 * i])
    const sy = py(layer.start[2 * i + 1])
    const ex = px(p[a] + (p[b] - p[a]) * where.s)
    const ey = py(p[a + 1] + (p[b + 1] - p[a + 1]) * where.s)
    const length = Math.hypot(ex - sx, ey - sy)
    // The line stops at the rim of its open head.
    const part = Math.max(0, 1 - head / (length || 1))
    ctx.moveTo(sx, sy)
    ctx.lineTo(sx + (ex - sx) * part, sy + (ey - sy) * part)
    ctx.moveTo(ex + head, ey)
    ctx.arc(ex, ey, head, 0, 2 * Math.PI)
  }
}

function pathMesh(ctx, layer, where, px, py) {
  const { rows, cols, points } = layer
  const size = rows * cols * 2
  const line = (count, indexOf) => {
    let down = false
    for (let i = 0; i < count; i++) {
      const a = where.a * size + indexOf(i)
      const b = where.b * size + indexOf(i)
      const missing = points[a] === MISSING || points[b] === MISSING
      const x = px(points[a] + (points[b] - points[a]) * where.s)
      const y = py(points[a + 1] + (points[b + 1] - points[a + 1]) * where.s)
      if (!missing) down ? ctx.lineTo(x, y) : ctx.moveTo(x, y)
      down = !missing
    }
  }
  ctx.beginPath()
  for (let r = 0; r < rows; r++) line(cols, (c) => (r * cols + c) * 2)
  for (let c = 0; c < cols; c++) line(rows, (r) => (r * cols + c) * 2)
}

function pathLines(ctx, layer, where, px, py) {
  ctx.beginPath()
  for (let l = layer.first[where.nearest]; l < layer.first[where.nearest + 1]; l++) {
    let down = false
    for (let i = layer.at[l]; i < layer.at[l + 1]; i++) {
      const qx = layer.points[2 * i]
      if (qx !== MISSING) {
        const [x, y] = [px(qx), py(layer.points[2 * i + 1])]
        down ? ctx.lineTo(x, y) : ctx.moveTo(x, y)
      }
      down = qx !== MISSING
    }
  }
}

const PATHS = { arrows: pathArrows, mesh: pathMesh, lines: pathLines }
const STYLES = { arrows: { alpha: 0.8, width: 1 }, mesh: { alpha: 0.65, width: 1 }, lines: { alpha: 1, width: 1.4 } }

function drawLayer(ctx, layer, scene, px, py) {
  const { palette, stage, position } = scene
  PATHS[layer.kind](ctx, layer, layerFrames(layer, stage.times.length, position), px, py)
  // Contours lie on particles of the same colour, so their colour is mixed with that of the text.
  const rgb = layer.kind === "lines" ? mix(palette[layer.role], palette.ink, 0.4) : palette[layer.role]
  ctx.strokeStyle = css(rgb, STYLES[layer.kind].alpha)
  ctx.lineWidth = STYLES[layer.kind].width
  ctx.stroke()
}
