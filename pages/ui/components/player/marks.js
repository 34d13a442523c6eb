// ---- Marks: trails, the highlighted particle, the selected point ----------------------

const TRAIL_FRAMES = 12
const TRAIL_PARTICLES = 500

function drawTrails(ctx, scene, px, py) {
  const { stage, panel, position, heading, palette } = scene
  const frames = stage.times.length
  const stride = Math.ceil(panel.n / TRAIL_PARTICLES)
  ctx.lineWidth = 1
  for (let age = 0; age < TRAIL_FRAMES; age++) {
    const a = position - heading * age
    const b = position - heading * (age + 1)
    if (Math.min(a, b) < 0 || Math.max(a, b) > frames - 1) break
    ctx.beginPath()
    for (let i = 0; i < panel.n; i += stride) {
      const p = locate(panel, frames, a, i)
      const q = locate(panel, frames, b, i)
      if (!p || !q) continue
      ctx.moveTo(px(p[0]), py(p[1]))
      ctx.lineTo(px(q[0]), py(q[1]))
    }
    ctx.strokeStyle = css(palette[panel.role], 0.6 * (1 - age / TRAIL_FRAMES))
    ctx.stroke()
  }
}

const ring = (ctx, x, y, r) => {
  ctx.beginPath()
  ctx.arc(x, y, r, 0, 2 * Math.PI)
}

// The trajectory of one particle, and a ring around its current position.
function drawHighlight(ctx, scene, index, px, py) {
  const { stage, panel, position, palette } = scene
  const frames = stage.times.length
  if (index >= panel.n) return
  ctx.beginPath()
  let down = false
  for (let f = 0; f < frames; f++) {
    const at = locate(panel, frames, f, index)
    if (at) down ? ctx.lineTo(px(at[0]), py(at[1])) : ctx.moveTo(px(at[0]), py(at[1]))
    down = at !== null
  }
  ctx.lineJoin = "round"
  for (const [rgb, alpha, width] of [[palette.ground, 0.75, 3.5], [palette.ink, 0.75, 1.2]]) {
    ctx.strokeStyle = css(rgb, alpha)
    ctx.lineWidth = width
    ctx.stroke()
  }
  for (const end of [0, frames - 1]) {
    const place = locate(panel, frames, end, index)
    if (!place) continue
    ring(ctx, px(place[0]), py(place[1]), 2.5)
    // Open where the timeline starts, filled where it ends.
    ctx.fillStyle = css(end === 0 ? palette.ground : palette.ink)
    ctx.fill()
    ctx.stroke()
  }
  const now = locate(panel, frames, position, index)
  if (!now) return
  const [x, y] = [px(now[0]), py(now[1])]
  ring(ctx, x, y, 6)
  for (const [rgb, width] of [[palette.ground, 4.5], [palette.ink, 1.75]]) {
    ctx.strokeStyle = css(rgb)
    ctx.lineWidth = width
    ctx.stroke()
  }
  ring(ctx, x, y, 2.6)
  ctx.fillStyle = css(palette[panel.role])
  ctx.fill()
}

// The selected point: a small crosshair.
function drawMarker(ctx, scene, x, y) {
  ctx.beginPath()
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    ctx.moveTo(x + 5 * dx, y + 5 * dy)
    ctx.lineTo(x + 11 * dx, y + 11 * dy)
  }
  ctx.moveTo(x + 5, y)
  ctx.arc(x, y, 5, 0, 2 * Math.PI)
  ctx.lineCap = "round"
  for (const [rgb, width] of [[scene.palette.ground, 4.5], [scene.palette.ink, 1.75]]) {
    ctx.strokeStyle = css(rgb)
    ctx.lineWidth = width
    ctx.stroke()
  }
  ctx.lineCap = "butt"
}
