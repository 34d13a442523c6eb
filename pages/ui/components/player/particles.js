// ---- Particles ----------------------------------------------------------------------
// Particles are blended into an ImageData by hand: with thousands of tiny discs this is several times faster than
// canvas paths where no graphics processor is used.

const PHASES = 4 // sub-pixel positions of a disc per axis, so that slow motion is smooth
const CELLS = 64 // of the density histogram, per axis

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
