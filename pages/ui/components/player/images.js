// ---- Images -------------------------------------------------------------------------
// The images of one time lie below each other in the payload, so together they are one tall
// picture: the atlas. It is filled when the time changes; the canvas then gets each image
// from it by drawImage, which scales. Noise does not interpolate, so the nearest frame is
// shown as it is. All lengths below are device pixels, so that edges are sharp.

const IMAGE_PAD = 12 // css px
const CAPTION_EM = 1.7 // height of a caption's line

// Magnification for a room that would allow `most`. Whole numbers keep all pixels equally
// large; where that would waste a seventh or more, a fraction is drawn in two steps.
function magnification(most) {
  const whole = Math.floor(most)
  return whole > (6 / 7) * most ? whole : most
}

// Where the images lie: {left, top, columns, scale, across, down} with the distances from
// one image to the next.
function gridFor(panel, width, height, ratio, font) {
  const pad = IMAGE_PAD * ratio
  const gap = Math.round((panel.captions.length || panel.n <= 16 ? 8 : 4) * ratio)
  const line = panel.captions.length ? Math.round(font.size * CAPTION_EM * ratio) : 0
  const roomX = width - 2 * pad
  const roomY = height - LEGEND_ROOM * ratio - pad
  const fit = (columns) => {
    const rows = Math.ceil(panel.n / columns)
    const most = Math.min((roomX - (columns - 1) * gap) / (columns * panel.width),
      (roomY - (rows - 1) * gap - rows * line) / (rows * panel.height))
    return { columns, rows, scale: magnification(Math.max(most, 1 / panel.width, 1 / panel.height)) }
  }
  let best = null
  if (panel.columns) best = fit(panel.columns)
  else {
    // Full rows, unless a last row that is shorter makes the images much larger.
    let score = 0
    for (let columns = 1; columns <= panel.n; columns++) {
      const one = fit(columns)
      const value = one.scale * (panel.n % columns ? 0.8 : 1)
      if (value > score) [best, score] = [one, value]
    }
  }
  let [w, h] = [Math.round(panel.width * best.scale), Math.round(panel.height * best.scale)]
  if (panel.tint && panel.n === 1) [w, h, best.scale] = stretched(panel, roomX, roomY)
  const [across, down] = [w + gap, h + line + gap]
  return {
    ...best, w, h, across, down, line,
    left: Math.round((width - best.columns * across + gap) / 2),
    top: Math.round(LEGEND_ROOM * ratio + Math.max(0, (roomY - best.rows * down + gap) / 2)),
  }
}

// Size of a single image whose pixels need not be square, only not much longer than wide,
// and the smaller magnification.
function stretched(panel, roomX, roomY) {
  let [x, y] = [roomX / panel.width, roomY / panel.height]
  x = magnification(Math.min(x, 4 * y))
  y = magnification(Math.min(y, 2 * x))
  return [Math.round(x * panel.width), Math.round(y * panel.height), Math.min(x, y)]
}

const cornerOf = (grid, image) => [
  grid.left + (image % grid.columns) * grid.across,
  grid.top + Math.floor(image / grid.columns) * grid.down,
]

// {index, x, y} of the pixel at a point in device pixels, or null beside the images.
function pixelAt(panel, grid, px, py) {
  const column = Math.floor((px - grid.left) / grid.across)
  const row = Math.floor((py - grid.top) / grid.down)
  const index = row * grid.columns + column
  if (column < 0 || column >= grid.columns || index < 0 || index >= panel.n) return null
  const [left, top] = cornerOf(grid, index)
  if (px >= left + grid.w || py >= top + grid.h) return null
  const inside = (share, size) => clamp(Math.floor(share * size), 0, size - 1)
  return { index, x: inside((px - left) / grid.w, panel.width), y: inside((py - top) / grid.h, panel.height) }
}

// Values 0..255 of one pixel: one number, or three for colour.
function pixelValues(panel, frame, { index, x, y }) {
  const at = ((index * panel.height + y) * panel.width + x) * panel.channels
  const from = panel.pixels.subarray(frame * panel.stride, (frame + 1) * panel.stride)
  return panel.bits ? [bitAt(from, at)] : [...from.subarray(at, at + panel.channels)]
}

const bitAt = (bytes, i) => (bytes[i >> 3] >> (7 - (i & 7))) & 1

// The 256 colours from the ground to the role's colour as pixels of an ImageData.
function tintsOf(panel, palette) {
  const tints = new Uint32Array(256)
  const from = mix(palette.ground, palette.ink, 0.06)
  for (let v = 0; v < 256; v++) {
    const [r, g, b] = mix(from, palette[panel.role], v / 255)
    tints[v] = 0xff000000 | (b << 16) | (g << 8) | r
  }
  return tints
}

// The images of a frame as one canvas, below each other.
function fillAtlas(surface, panel, frame, palette) {
  const height = panel.height * panel.n
  if (surface.atlas?.width !== panel.width || surface.atlas.height !== height) {
    surface.atlas = el("canvas", { width: panel.width, height })
    surface.texture = new ImageData(panel.width, height)
    surface.filled = null
  }
  const from = panel.pixels.subarray(frame * panel.stride, (frame + 1) * panel.stride)
  if (surface.filled?.[0] === panel.pixels && surface.filled[1] === frame && surface.filled[2] === palette) return
  if (surface.filled?.[2] !== palette) surface.tints = panel.tint ? tintsOf(panel, palette) : null
  surface.filled = [panel.pixels, frame, palette]
  const words = new Uint32Array(surface.texture.data.buffer)
  const { tints } = surface
  if (panel.bits) {
    for (let i = 0; i < words.length; i++) words[i] = tints[255 * bitAt(from, i)]
  } else if (panel.tint) {
    for (let i = 0; i < words.length; i++) words[i] = tints[from[i]]
  } else if (panel.channels === 1) {
    for (let i = 0; i < words.length; i++) words[i] = 0xff000000 | (from[i] * 0x010101)
  } else {
    for (let i = 0, j = 0; i < words.length; i++, j += 3) {
      words[i] = 0xff000000 | (from[j + 2] << 16) | (from[j + 1] << 8) | from[j]
    }
  }
  surface.atlas.getContext("2d").putImageData(surface.texture, 0, 0)
}

// Magnified by a whole number first and then reduced a little: pixels stay square and
// sharp at any size.
function drawEnlarged(ctx, surface, panel, index, left, top, grid) {
  const times = Math.ceil(grid.scale)
  surface.large ??= document.createElement("canvas")
  const [w, h] = [panel.width * times, panel.height * times]
  if (surface.large.width !== w || surface.large.height !== h) Object.assign(surface.large, { width: w, height: h })
  const large = surface.large.getContext("2d")
  large.imageSmoothingEnabled = false
  large.drawImage(surface.atlas, 0, index * panel.height, panel.width, panel.height, 0, 0, w, h)
  ctx.drawImage(surface.large, 0, 0, w, h, left, top, grid.w, grid.h)
}

// Same arguments as drawParticles.
function drawImages(surface, scene, width, height, ratio) {
  const { panel, palette, font, on, stage } = scene
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)]
  const { canvas } = surface
  if (canvas.width !== w || canvas.height !== h) {
    Object.assign(canvas, { width: w, height: h })
    // A canvas that is a fraction of a pixel larger than its box would be blurred.
    Object.assign(canvas.style, { width: `${w / ratio}px`, height: `${h / ratio}px` })
  }
  const ctx = canvas.getContext("2d")
  ctx.clearRect(0, 0, w, h)
  if (!on.has(panel.id)) return
  fillAtlas(surface, panel, Math.min(Math.round(scene.position), stage.times.length - 1), palette)
  const grid = gridFor(panel, w, h, ratio, font)
  const whole = Number.isInteger(grid.scale)
  ctx.imageSmoothingEnabled = !whole
  ctx.imageSmoothingQuality = "high"
  ctx.font = `${font.size * ratio}px ${font.family}`
  ctx.textAlign = "center"
  for (let i = 0; i < panel.n; i++) {
    const [left, top] = cornerOf(grid, i)
    if (whole || grid.scale < 1) {
      ctx.drawImage(surface.atlas, 0, i * panel.height, panel.width, panel.height, left, top, grid.w, grid.h)
    } else drawEnlarged(ctx, surface, panel, i, left, top, grid)
    if (panel.tint && panel.n === 1) drawGaps(ctx, panel, grid, left, top, ratio, palette)
    if (panel.captions.length) {
      ctx.fillStyle = css(palette.quiet)
      ctx.fillText(panel.captions[i], left + grid.w / 2, top + grid.h + 0.72 * grid.line, grid.across - 2 * ratio)
    }
  }
  for (const [place, width] of [[scene.hover, 1.25], [scene.marker, 2]]) {
    if (place) drawPixelBox(ctx, scene, grid, place, width * ratio)
  }
}

// Thin lines of the ground between the cells of a raster, where there is room for them.
function drawGaps(ctx, panel, grid, left, top, ratio, palette) {
  const [cellX, cellY] = [grid.w / panel.width, grid.h / panel.height]
  const line = Math.max(1, Math.round(ratio))
  if (Math.min(cellX, cellY) < 4 * line) return
  ctx.fillStyle = css(palette.ground)
  for (let x = 1; x < panel.width; x++) ctx.fillRect(Math.round(left + x * cellX), top, line, grid.h)
  for (let y = 1; y < panel.height; y++) ctx.fillRect(left, Math.round(top + y * cellY), grid.w, line)
}

// A frame around one pixel, never smaller than can be seen.
function drawPixelBox(ctx, { panel, palette }, grid, { index, x, y }, width) {
  if (index >= panel.n || x >= panel.width || y >= panel.height) return
  const [left, top] = cornerOf(grid, index)
  const size = Math.max(grid.scale, 3 * width)
  const cx = left + ((x + 0.5) / panel.width) * grid.w
  const cy = top + ((y + 0.5) / panel.height) * grid.h
  for (const [rgb, line] of [[palette.ground, 3 * width], [palette.ink, width]]) {
    ctx.strokeStyle = css(rgb)
    ctx.lineWidth = line
    ctx.strokeRect(cx - size / 2 - width, cy - size / 2 - width, size + 2 * width, size + 2 * width)
  }
}
