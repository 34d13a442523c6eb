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
// hover (what is pointed at, or null), marker (the selected point, or null), colours (cache of this panel)}.
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
