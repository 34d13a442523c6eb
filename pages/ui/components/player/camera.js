// ---- Places: quantised coordinates → the screen ----------------------------------------

const LEGEND_ROOM = 40 // css px kept free at the top of a panel for its legend

const mix = (a, b, s) => a.map((v, i) => Math.round(v + (b[i] - v) * s))
const css = (rgb, alpha = 1) => `rgba(${rgb[0]},${rgb[1]},${rgb[2]},${alpha})`

// Maps uint16 codes to css pixels: x = left + qx * step, y = bottom - qy * step. The
// square [lo, hi] fills the shorter direction; the longer one shows what lies beyond.
function cameraFor(stage, width, height, top = LEGEND_ROOM) {
  const pad = 12
  const room = Math.min(width - 2 * pad, height - top - pad)
  const scale = Math.max(room, 1) / (stage.hi - stage.lo)
  const middle = (stage.lo + stage.hi) / 2
  const away = (stage.low - middle) * scale
  const centre = top + (height - top - pad) / 2
  return { left: width / 2 + away, bottom: centre - away, step: (stage.span / STEPS) * scale, scale, room }
}
const xOf = (camera, stage, x) => camera.left + (x - stage.low) * camera.scale
const yOf = (camera, stage, y) => camera.bottom - (y - stage.low) * camera.scale

// Codes of one particle at a fractional frame, or null where it is missing.
function locate(panel, frames, position, index) {
  const f = Math.min(Math.floor(position), frames - 1)
  const s = position - f
  const a = (f * panel.n + index) * 2
  const b = (Math.min(f + 1, frames - 1) * panel.n + index) * 2
  const q = panel.positions
  if (q[a] === MISSING || q[b] === MISSING) return null
  return [q[a] + (q[b] - q[a]) * s, q[a + 1] + (q[b + 1] - q[a + 1]) * s]
}
const valueOf = (stage, code) => stage.low + (code / STEPS) * stage.span

// Particle nearest to a point in css px, within `reach`, or -1.
function nearestParticle(stage, panel, camera, position, x, y, reach) {
  const frames = stage.times.length
  let best = -1
  let least = reach * reach
  for (let i = 0; i < panel.n; i++) {
    const at = locate(panel, frames, position, i)
    if (!at) continue
    const dx = camera.left + at[0] * camera.step - x
    const dy = camera.bottom - at[1] * camera.step - y
    const away = dx * dx + dy * dy
    if (away < least) [best, least] = [i, away]
  }
  return best
}
