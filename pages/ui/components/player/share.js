// ---- Full screen, link, PNG -----------------------------------------------------

const isFull = (p) => p.root.getRootNode().fullscreenElement === p.root || p.root.classList.contains("filled-page")

function toggleFull(p) {
  if (p.root.getRootNode().fullscreenElement === p.root) document.exitFullscreen()
  else if (p.root.classList.contains("filled-page") || !p.root.requestFullscreen) fillPage(p)
  else p.root.requestFullscreen().catch(() => fillPage(p))
}

// Browsers without element full screen (phones) get the whole page instead.
function fillPage(p) {
  p.root.classList.toggle("filled-page")
  invalidate(p)
}

// t=12&version=200&layers=drift,-learned&colour=density; "-" marks a hidden panel.
function applyLink(p) {
  const query = new URLSearchParams(location.search)
  const { stage } = p
  if (query.has("layers")) {
    const words = new Set(query.get("layers").split(","))
    for (const panel of stage.panels) {
      words.has(`-${panel.id}`) ? p.on.delete(panel.id) : p.on.add(panel.id)
      for (const { id } of panel.layers) words.has(id) ? p.on.add(id) : p.on.delete(id)
    }
  }
  if (Object.hasOwn(COLOUR_TEXT, query.get("colour"))) p.colour = query.get("colour")
  const version = stage.versions.indexOf(query.get("version"))
  if (version >= 0) useVersion(p, version)
  const text = query.get("t") ?? ""
  if (!/^\d{1,6}$/.test(text)) return false
  p.position = Math.round(positionOf(stage, Number(text)))
  return true
}

function linkToFrame(p) {
  const url = new URL(location.href)
  const hidden = p.stage.panels.filter((panel) => !p.on.has(panel.id)).map((panel) => `-${panel.id}`)
  const layers = new Set(p.stage.panels.flatMap((panel) => panel.layers.map((l) => l.id)).filter((id) => p.on.has(id)))
  url.searchParams.set("t", p.stage.times[Math.round(p.position)])
  // Without a version the link opens at the last one at that time.
  if (p.version < p.stage.versions.length - 1) url.searchParams.set("version", p.stage.versions[p.version])
  else url.searchParams.delete("version")
  url.searchParams.set("layers", [...layers, ...hidden].join(","))
  url.searchParams.set("colour", p.colour)
  return url.href.replaceAll("%2C", ",")
}

async function copyLink(p) {
  const link = linkToFrame(p)
  try {
    await navigator.clipboard.writeText(link)
    p.tools.announce("Link copied")
  } catch {
    p.tools.showLink(link)
  }
}

// All panels side by side with their legends, at twice the screen's density or more.
function downloadImage(p) {
  const ratio = Math.max(2, window.devicePixelRatio || 1)
  const [gap, foot] = [14, 40]
  const views = p.panels.filter((view) => view.width > 0)
  const width = views.reduce((sum, view) => sum + view.width + gap, gap)
  const height = Math.max(...views.map((view) => view.height)) + gap + foot
  const canvas = el("canvas", { width: Math.round(width * ratio), height: Math.round(height * ratio) })
  const ctx = canvas.getContext("2d")
  const family = getComputedStyle(p.root).fontFamily
  ctx.scale(ratio, ratio)
  ctx.fillStyle = css(p.palette.ground)
  ctx.fillRect(0, 0, width, height)
  let x = gap
  for (const view of views) {
    const surface = { canvas: document.createElement("canvas") }
    PAINTERS[view.panel.kind](surface, { ...sceneOf(p, view), hover: null }, view.width, view.height, ratio)
    ctx.drawImage(surface.canvas, x, gap, view.width, view.height)
    ctx.strokeStyle = css(p.palette.line)
    ctx.beginPath()
    ctx.roundRect(x + 0.5, gap + 0.5, view.width - 1, view.height - 1, 12)
    ctx.stroke()
    writeLegend(ctx, p, view, x, gap, family)
    x += view.width + gap
  }
  ctx.font = `500 15px ${family}`
  ctx.fillStyle = css(p.palette.quiet)
  ctx.fillText([timeText(p), versionText(p)].filter(Boolean).join("  ·  "), gap + 2, height - 15)
  canvas.toBlob((blob) => {
    const t = String(p.stage.times[p.frame]).padStart(2, "0")
    const version = p.stage.versions.length ? `-v${p.version}` : ""
    const link = el("a", { href: URL.createObjectURL(blob), download: `${p.stage.name}-t${t}${version}.png` })
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 10000)
    p.tools.announce("PNG downloaded")
  }, "image/png")
}

function writeLegend(ctx, p, { panel }, x, y, family) {
  ctx.fillStyle = css(p.palette[panel.role])
  ring(ctx, x + 20, y + 21, 4.5)
  ctx.fill()
  let left = x + 30
  const write = (text, rgb) => {
    ctx.fillStyle = css(rgb)
    ctx.fillText(text, left, y + 26)
    left += ctx.measureText(text).width + 12
  }
  ctx.font = `500 14px ${family}`
  write(panel.label, p.palette.ink)
  ctx.font = `14px ${family}`
  for (const layer of panel.layers) if (p.on.has(layer.id)) write(layer.label, p.palette.quiet)
  if (panel.note) write(panel.note.replace(/<\/?su[bp]>/g, ""), p.palette.quiet)
}
