// ---- Drawing ------------------------------------------------------------------------
// Particles are blended into an ImageData by hand: with thousands of tiny discs this is
// several times faster than canvas paths where no graphics processor is at work. Lines
// use the ordinary canvas calls, below the particles by "destination-over".

const LEGEND_ROOM = 40 // css px kept free at the top of a panel for its legend
const PHASES = 4 // sub-pixel positions of a disc per axis, so that slow motion is smooth
const TRAIL_FRAMES = 12
const TRAIL_PARTICLES = 500
const CELLS = 64 // density histogram, per axis

const mix = (a, b, s) => a.map((v, i) => Math.round(v + (b[i] - v) * s))
const css = (rgb, alpha = 1) => `rgba(${rgb[0]},${rgb[1]},${rgb[2]},${alpha})`

// Any css colour as [r, g, b], by letting the browser paint one pixel.
const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true })
function rgbOf(colour) {
  probe.fillStyle = "#fff"
  probe.fillRect(0, 0, 1, 1)
  probe.fillStyle = colour
  probe.fillRect(0, 0, 1, 1)
  return [...probe.getImageData(0, 0, 1, 1).data.slice(0, 3)]
}
const isDark = ([r, g, b]) => 0.2126 * r + 0.7152 * g + 0.0722 * b < 110

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

// ---- Particles ----------------------------------------------------------------------

// Fewer particles are drawn larger and denser, and all grow with the panel.
function discFor(n, room) {
  const size = clamp(room / 420, 0.8, 2)
  return {
    radius: clamp(1.6 * (4000 / n) ** 0.22, 1.0, 4) * Math.sqrt(size),
    alpha: clamp(0.55 * (4000 / n) ** 0.2, 0.36, 0.85),
  }
}

// One coverage mask (0..256) for each sub-pixel position of a disc of this radius.
const maskCache = new Map()
function masksFor(radius, alpha) {
  const key = `${radius.toFixed(2)}/${alpha.toFixed(2)}`
  if (maskCache.has(key)) return maskCache.get(key)
  const reach = Math.ceil(radius + 0.5)
  const side = 2 * reach + 1
  const masks = []
  for (let phase = 0; phase < PHASES * PHASES; phase++) {
    const cx = reach + (phase % PHASES) / PHASES
    const cy = reach + Math.floor(phase / PHASES) / PHASES
    const mask = new Uint16Array(side * side)
    for (let i = 0; i < mask.length; i++) {
      const away = Math.hypot((i % side) + 0.5 - cx, Math.floor(i / side) + 0.5 - cy)
      mask[i] = Math.round(clamp(radius + 0.5 - away, 0, 1) * alpha * 256)
    }
    masks.push(mask)
  }
  if (maskCache.size > 40) maskCache.clear()
  maskCache.set(key, { masks, reach, side })
  return maskCache.get(key)
}

// Blends all particles into surface.bytes. `colours` holds three bytes per particle; with
// null every particle has the colour the image was filled with, and only alpha is touched.
function splat(surface, panel, frames, position, camera, ratio, disc, colours) {
  const { bytes, width, height } = surface
  const { masks, reach, side } = masksFor(disc.radius * ratio, disc.alpha)
  const q = panel.positions
  const n = panel.n
  const f = Math.min(Math.floor(position), frames - 1)
  const s = position - f
  const from = f * n * 2
  const to = Math.min(f + 1, frames - 1) * n * 2
  const step = camera.step * ratio * PHASES
  const left = camera.left * ratio * PHASES
  const bottom = camera.bottom * ratio * PHASES
  for (let i = 0; i < n; i++) {
    const a = from + 2 * i
    const b = to + 2 * i
    const qx = q[a]
    if (qx === MISSING || q[b] === MISSING) continue
    const gx = Math.round(left + (qx + (q[b] - qx) * s) * step)
    const gy = Math.round(bottom - (q[a + 1] + (q[b + 1] - q[a + 1]) * s) * step)
    const x0 = (gx >> 2) - reach
    const y0 = (gy >> 2) - reach
    if (x0 <= -side || y0 <= -side || x0 >= width || y0 >= height) continue
    const mask = masks[(gx & 3) + (gy & 3) * PHASES]
    const j0 = x0 < 0 ? -x0 : 0
    const j1 = x0 + side > width ? width - x0 : side
    const k0 = y0 < 0 ? -y0 : 0
    const k1 = y0 + side > height ? height - y0 : side
    for (let k = k0; k < k1; k++) {
      let m = k * side + j0
      let o = ((y0 + k) * width + x0 + j0) * 4 + 3
      for (let j = j0; j < j1; j++, m++, o += 4) {
        const cover = mask[m]
        if (cover === 0) continue
        const below = bytes[o]
        const alpha = below + (((255 - below) * cover) >> 8)
        bytes[o] = alpha
        if (colours !== null) {
          const weight = below === 0 ? 1 : Math.min(1, cover / (alpha * 1.004))
          for (let c = 0; c < 3; c++) {
            const old = bytes[o - 3 + c]
            bytes[o - 3 + c] = old + (colours[3 * i + c] - old) * weight
          }
        }
      }
    }
  }
}

// OKLCH to sRGB bytes: equal steps of hue look equally different.
function oklch(L, C, hue) {
  const a = C * Math.cos(hue)
  const b = C * Math.sin(hue)
  const l = (L + 0.3963 * a + 0.2158 * b) ** 3
  const m = (L - 0.1056 * a - 0.0639 * b) ** 3
  const s = (L - 0.0895 * a - 1.2915 * b) ** 3
  const linear = [
    4.0767 * l - 3.3077 * m + 0.231 * s,
    -1.2684 * l + 2.6098 * m - 0.3413 * s,
    -0.0042 * l - 0.7034 * m + 1.7076 * s,
  ]
  return linear.map((v) => {
    const u = clamp(v, 0, 1)
    return Math.round(255 * (u <= 0.0031 ? 12.92 * u : 1.055 * u ** (1 / 2.4) - 0.055))
  })
}

// Hue from the angle and lightness from the radius in the first frame.
function coloursByPosition(panel, dark) {
  const q = panel.positions
  const n = panel.n
  const out = new Uint8Array(3 * n)
  let [mx, my, seen] = [0, 0, 0]
  for (let i = 0; i < n; i++) {
    if (q[2 * i] === MISSING) continue
    mx += q[2 * i]
    my += q[2 * i + 1]
    seen++
  }
  mx /= seen || 1
  my /= seen || 1
  let far = 1
  for (let i = 0; i < n; i++) {
    if (q[2 * i] !== MISSING) far = Math.max(far, Math.hypot(q[2 * i] - mx, q[2 * i + 1] - my))
  }
  for (let i = 0; i < n; i++) {
    const dx = q[2 * i] - mx
    const dy = q[2 * i + 1] - my
    const radius = Math.min(1, Math.hypot(dx, dy) / far)
    const L = dark ? 0.62 + 0.2 * radius : 0.7 - 0.2 * radius
    out.set(oklch(L, 0.15, Math.atan2(dy, dx)), 3 * i)
  }
  return out
}

// Smoothed histogram of the current frame, looked up for each particle.
const SPREAD = [1, 4, 6, 4, 1]
function coloursByDensity(panel, stage, frames, position, ramp, out) {
  const first = ((stage.lo - stage.low) / stage.span) * STEPS
  const cell = CELLS / (((stage.hi - stage.lo) / stage.span) * STEPS)
  const n = panel.n
  const cells = new Int32Array(n).fill(-1)
  let grid = new Float32Array(CELLS * CELLS)
  for (let i = 0; i < n; i++) {
    const at = locate(panel, frames, position, i)
    if (!at) continue
    const cx = Math.floor((at[0] - first) * cell)
    const cy = Math.floor((at[1] - first) * cell)
    if (cx < 0 || cy < 0 || cx >= CELLS || cy >= CELLS) continue
    cells[i] = cy * CELLS + cx
    grid[cells[i]]++
  }
  for (const stride of [1, CELLS]) {
    const smooth = new Float32Array(grid.length)
    for (let i = 0; i < grid.length; i++) {
      for (let k = -2; k <= 2; k++) smooth[i] += SPREAD[k + 2] * (grid[i + k * stride] || 0)
    }
    grid = smooth
  }
  const most = grid.reduce((a, b) => Math.max(a, b), 1)
  const last = ramp.length / 3 - 1
  for (let i = 0; i < n; i++) {
    const share = cells[i] < 0 ? 0 : Math.sqrt(grid[cells[i]] / most)
    const level = 3 * Math.round(share * last)
    for (let c = 0; c < 3; c++) out[3 * i + c] = ramp[level + c]
  }
  return out
}

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
  // Contours lie on particles of the same colour, so they are drawn nearer to the ink.
  const rgb = layer.kind === "lines" ? mix(palette[layer.role], palette.ink, 0.4) : palette[layer.role]
  ctx.strokeStyle = css(rgb, STYLES[layer.kind].alpha)
  ctx.lineWidth = STYLES[layer.kind].width
  ctx.stroke()
}

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

// The whole way of one particle, and a ring around where it is now.
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

// Where the visitor clicked: a small sight in ink.
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

// ---- One panel ----------------------------------------------------------------------

// Gives the canvas its size in device pixels and keeps the image that is blended into.
function fitSurface(surface, width, height, ratio) {
  const w = Math.max(1, Math.round(width * ratio))
  const h = Math.max(1, Math.round(height * ratio))
  if (surface.width === w && surface.height === h) return
  surface.canvas.width = w
  surface.canvas.height = h
  surface.width = w
  surface.height = h
  surface.image = new ImageData(w, h)
  surface.bytes = new Uint8Array(surface.image.data.buffer)
  surface.words = new Uint32Array(surface.image.data.buffer)
}

// scene: {stage, panel, position, heading (+1 or -1), palette, font, colour, on, trails,
// hover (what is pointed at, or null), marker (what was clicked, or null), colours (cache of this panel)}.
// width, height in css px; ratio: device pixels for each of them.
function drawParticles(surface, scene, width, height, ratio) {
  fitSurface(surface, width, height, ratio)
  const { stage, panel, position, palette, on } = scene
  const frames = stage.times.length
  const camera = cameraFor(stage, width, height)
  const px = (q) => camera.left + q * camera.step
  const py = (q) => camera.bottom - q * camera.step
  const ctx = surface.canvas.getContext("2d")
  const [r, g, b] = palette[panel.role]
  surface.words.fill((b << 16) | (g << 8) | r) // the role's colour with alpha 0
  if (on.has(panel.id)) {
    const disc = discFor(panel.n, camera.room)
    splat(surface, panel, frames, position, camera, ratio, disc, particleColours(scene))
  }
  ctx.setTransform(1, 0, 0, 1, 0, 0)
  ctx.putImageData(surface.image, 0, 0)
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0)
  const shown = panel.layers.filter((layer) => on.has(layer.id))
  ctx.globalCompositeOperation = "destination-over"
  for (const layer of shown) if (layer.kind !== "lines") drawLayer(ctx, layer, scene, px, py)
  if (scene.trails && on.has(panel.id)) drawTrails(ctx, scene, px, py)
  ctx.globalCompositeOperation = "source-over"
  for (const layer of shown) if (layer.kind === "lines") drawLayer(ctx, layer, scene, px, py)
  if (scene.marker) {
    drawMarker(ctx, scene, xOf(camera, stage, scene.marker.x), yOf(camera, stage, scene.marker.y))
  }
  if (scene.hover && on.has(panel.id)) drawHighlight(ctx, scene, scene.hover.index, px, py)
}

function particleColours({ stage, panel, position, palette, colour, colours }) {
  if (colour === "position") {
    colours.position ??= coloursByPosition(panel, palette.dark)
    return colours.position
  }
  if (colour === "density") {
    const quiet = mix(palette.noise, palette.ground, palette.dark ? 0.1 : 0.25)
    colours.ramp ??= new Uint8Array([...Array(32).keys()].flatMap((i) =>
      mix(quiet, palette[panel.role], i / 31)))
    colours.density ??= new Uint8Array(3 * panel.n)
    return coloursByDensity(panel, stage, stage.times.length, position, colours.ramp, colours.density)
  }
  return null
}

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
