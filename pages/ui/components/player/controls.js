// ---- Buttons, timeline, cards, help ---------------------------------------------------
// Each function builds its elements once and returns them with an `update` where something changes while playing.
// Texts from the payload are set as text, never as markup.

const ICONS = {
  play: '<path d="M8 5.2v13.6a.6.6 0 0 0 .92.5l10.4-6.8a.6.6 0 0 0 0-1L8.92 4.7A.6.6 0 0 0 8 5.2z" fill="currentColor" stroke="none"/>',
  pause: '<path d="M7.5 5h3v14h-3zM13.5 5h3v14h-3z" fill="currentColor" stroke="none"/>',
  back: '<path d="M14.5 6.5 9 12l5.5 5.5"/>',
  ahead: '<path d="M9.5 6.5 15 12l-5.5 5.5"/>',
  loop: '<path d="M17.5 3.5 20.5 6.5l-3 3M3.5 11V9.5a3 3 0 0 1 3-3h14M6.5 20.5l-3-3 3-3M20.5 13v1.5a3 3 0 0 1-3 3h-14"/>',
  forward: '<path d="M4 12h16M14 6l6 6-6 6"/>',
  backward: '<path d="M20 12H4M10 6l-6 6 6 6"/>',
  pingpong: '<path d="M4 12h16M16 8l4 4-4 4M8 8l-4 4 4 4"/>',
  trails: '<path d="M3.5 18.5c4 0 4.5-5 8-6.5"/><path d="M3.5 11.5c3.5 0 5-3.5 8.5-4.5"/><circle cx="14.5" cy="11.2" r="1.8" fill="currentColor" stroke="none"/><circle cx="15" cy="6.4" r="1.8" fill="currentColor" stroke="none"/>',
  colour: '<circle cx="12" cy="8.5" r="4.75"/><circle cx="8.5" cy="14.5" r="4.75"/><circle cx="15.5" cy="14.5" r="4.75"/>',
  image: '<path d="M12 4v10.500M7.5 10.500l4.5 4.5 4.5-4.500M4.5 19.500h15"/>',
  link: '<path d="M10 13.5a4 4 0 0 0 5.9.3l2.6-2.6a4 4 0 0 0-5.7-5.7l-1.3 1.3M14 10.5a4 4 0 0 0-5.9-.3l-2.6 2.6a4 4 0 0 0 5.7 5.7l1.3-1.3"/>',
  full: '<path d="M4.5 9.500v-5h5M14.5 4.500h5v5M19.5 14.500v5h-5M9.5 19.500h-5v-5"/>',
  unfull: '<path d="M9.5 4.500v5h-5M19.5 9.500h-5v-5M14.5 19.500v-5h5M4.5 14.500h5v5"/>',
  help: '<path d="M9.2 9.200a2.9 2.9 0 1 1 4.3 2.600c-.9.5-1.5 1.2-1.5 2.200M12 17.300v.2"/>',
  close: '<path d="M6.5 6.500l11 11M17.5 6.500l-11 11"/>',
}
// A button with an icon; `show(icon, label, pressed)` changes it if something is different.
function iconButton(name, label, act, kind = "tool") {
  const button = el("button", { class: kind, type: "button", onclick: act })
  let shown = ""
  button.show = (nextIcon, nextLabel, pressed = null) => {
    if (shown === nextIcon + nextLabel + pressed) return
    shown = nextIcon + nextLabel + pressed
    button.replaceChildren(svgIcon(ICONS[nextIcon]))
    button.setAttribute("aria-label", nextLabel)
    button.title = nextLabel
    if (pressed !== null) button.setAttribute("aria-pressed", pressed)
  }
  button.show(name, label)
  return button
}

// Text in which <sub>, <sup> and [word](layer-id) are markup; everything else is plain text.
const MARKS = /<(\/?)(sub|sup)>|\[([^\]]+)\]\(([A-Za-z0-9_-]+)\)/g
function richText(text, toggle = null) {
  const top = document.createDocumentFragment()
  let into = top
  let end = 0
  for (const mark of text.matchAll(MARKS)) {
    into.append(text.slice(end, mark.index))
    end = mark.index + mark[0].length
    if (mark[3]) into.append(toggle ? toggle(mark[4], mark[3]) : mark[3])
    else if (mark[1]) into = top
    else {
      into = el(mark[2])
      top.append(into)
    }
  }
  into.append(text.slice(end))
  return top
}

// ---- Timeline -----------------------------------------------------------------------

const SPEEDS = [0.25, 0.5, 1, 2, 4]
const SPEED_TEXT = { 0.25: "0.25×", 0.5: "0.5×", 1: "1.0×", 2: "2.0×", 4: "4.0×" }
const DIRECTION_TEXT = { forward: "Direction: forward", backward: "Direction: backward", pingpong: "Direction: forward, then backward" }
const COLOUR_TEXT = { role: "Colour: one per panel", position: "Colour: by position in the first frame", density: "Colour: by local density" }
const LOOP_TEXT = (on) => `Loop: ${on ? "on" : "off"}`
const after = (list, value) => list[(list.indexOf(value) + 1) % list.length]

function buildBar(label) {
  const track = el("div", { class: "track" }, el("div", { class: "filled" }))
  const bar = el("div", {
    class: "bar", role: "slider", tabindex: "0", "aria-label": label, "aria-valuemin": "0",
  }, track, el("div", { class: "rail" }, el("div", { class: "thumb" })))
  return { bar, track }
}

// actions: {toggle, step(n), scrub(share, phase), speed(value), loop, direction}.
function buildTimeline(actions) {
  const play = iconButton("play", "Play", actions.toggle, "play")
  const label = el("output", { class: "when", "aria-live": "off" })
  const back = iconButton("back", "Previous step (←)", () => actions.step(-1), "tool step")
  const ahead = iconButton("ahead", "Next step (→)", () => actions.step(1), "tool step")
  const { bar, track } = buildBar("Time")
  const speed = el("select", { class: "speed", "aria-label": "Speed", title: "Speed ([ slower, ] faster)" },
    ...SPEEDS.map((s) => el("option", { value: s }, SPEED_TEXT[s])))
  speed.addEventListener("change", () => actions.speed(Number(speed.value)))
  const loop = iconButton("loop", "Loop", actions.loop)
  const direction = iconButton("forward", "Direction", actions.direction)
  scrubbing(bar, track, actions.scrub)
  const root = el("div", { class: "row" }, play, label, back, ahead, bar, speed, loop, direction)
  return { root, play, label, bar, speed, loop, direction, back, ahead }
}

// A captured pointer continues a drag outside the bar, by mouse, pen or finger.
function scrubbing(bar, track, act) {
  bar.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return
    bar.setPointerCapture(event.pointerId)
    act(shareAlong(track, event), "start")
  })
  bar.addEventListener("pointermove", (event) => {
    if (bar.hasPointerCapture(event.pointerId)) act(shareAlong(track, event), "move")
  })
  bar.addEventListener("lostpointercapture", () => act(null, "end"))
}

// ---- Cards --------------------------------------------------------------------------

const at = (values, frame) => values[values.length === 1 ? 0 : frame]

function numberCard(card, seek) {
  const value = el("span", { class: "value" })
  const unit = el("span", { class: "unit" })
  unit.append(richText(card.unit))
  const root = el("section", { class: "card" }, el("h3"), el("p", { class: "figure" }, value, unit))
  root.firstChild.append(richText(card.title))
  if (card.note) {
    const note = el("p", { class: "note" })
    note.append(richText(card.note))
    root.append(note)
  }
  const spark = card.spark ? sparkline(card, seek) : null
  if (spark) root.append(spark.root)
  let shown = null
  const update = (data, frame, share) => {
    const text = formatNumber(at(data.now, frame), data.digits)
    if (text !== shown) value.textContent = shown = text
    spark?.update(data, share)
  }
  return { root, update }
}

// The number over all frames; a dotted line marks the frame shown. The drawing can be dragged by a pointer only; from
// the keyboard the timeline does the same.
function sparkline(card, seek) {
  const curve = svgElement("path", { class: "curve", "vector-effect": "non-scaling-stroke" })
  const svg = svgElement("svg", { viewBox: "0 0 100 40", preserveAspectRatio: "none" }, curve)
  const mark = el("i", { class: "mark" })
  const root = el("div", { class: `spark ${card.role}`, "aria-hidden": "true" }, svg, mark)
  const go = (event) => seek(shareAlong(root, event))
  root.addEventListener("pointerdown", (event) => {
    root.setPointerCapture(event.pointerId)
    go(event)
  })
  root.addEventListener("pointermove", (event) => {
    if (root.hasPointerCapture(event.pointerId)) go(event)
  })
  let drawn = null
  let last = null
  const update = (data, share) => {
    if (drawn !== data.now) {
      drawn = data.now
      curve.setAttribute("d", sparkPath(drawn, data.values.flat()))
    }
    if (share !== last) mark.style.left = `${(last = share) * 100}%`
  }
  return { root, update }
}

// all: the values of all versions, which share one scale.
function sparkPath(values, all) {
  const known = all.filter((v) => v !== null)
  const low = Math.min(...known)
  const height = Math.max(...known) - low || 1
  let path = ""
  let down = false
  values.forEach((v, i) => {
    const x = values.length > 1 ? (100 * i) / (values.length - 1) : 0
    if (v !== null) path += `${down ? "L" : "M"}${x.toFixed(2)} ${(36 - (32 * (v - low)) / height).toFixed(2)}`
    down = v !== null
  })
  return path
}

// card.html comes from this code base; the numbers in it are set as text.
function formulaCard(card) {
  const body = el("div", { class: "formula" })
  body.innerHTML = card.html.replace(/\{(\w+)\}/g, (whole, name) =>
    name in card.values ? `<span data-value="${name}"></span>` : whole)
  const root = el("section", { class: "card" }, el("h3"), body)
  root.firstChild.append(richText(card.title))
  const slots = [...body.querySelectorAll("[data-value]")].map((node) => [node, node.dataset.value])
  const update = (data, frame) => {
    for (const [node, name] of slots) {
      const values = data.now[name] || [null]
      data.whole ??= {}
      data.whole[name] ??= (data.values[name] || []).flat().every((v) => v === null || Number.isInteger(v))
      const text = formatNumber(at(values, frame), data.whole[name] ? 0 : data.digits)
      if (node.textContent !== text) node.textContent = text
    }
  }
  return { root, update }
}

// ---- Tools and help -----------------------------------------------------------------

const KEYS = [
  ["Space", "play or pause"], ["← →", "previous or next step (Shift: 10)"], ["Home End", "first or last frame"],
  ["↑ ↓", ""], ["[ ]", "slower or faster"], ["L", "loop on or off"], ["F", "full screen"],
  ["Esc", "clear the selection"], ["?", "show or hide this help"],
]
function buildHelp(close) {
  const rows = KEYS.map(([keys, what]) => [
    el("dt", {}, ...keys.split(" ").map((key) => el("kbd", {}, key))), el("dd", {}, what),
  ])
  const list = el("dl", {}, ...rows.flat())
  const hint = el("p")
  const button = iconButton("close", "Close help", close)
  const root = el("div", { class: "help", role: "dialog", "aria-label": "Keyboard shortcuts" },
    el("div", { class: "sheet" }, el("header", {}, el("h3", {}, "Keyboard shortcuts"), button), list, hint))
  root.addEventListener("click", (event) => event.target === root && close())
  root.hidden = true
  root.describe = (stage) => {
    const [keys, what] = rows[KEYS.findIndex(([name]) => name === "↑ ↓")]
    keys.hidden = what.hidden = !stage.versions.length
    what.textContent = `next or previous ${stage.versions_label} (Shift: 5)`
    const kinds = new Set(stage.panels.map((panel) => panel.kind))
    hint.textContent = [kinds.has("particles") && "Point at a particle to see its trajectory.",
      kinds.has("images") && "Point at an image to read its pixel values.",
      "Click to select a point. Underlined words show or hide layers."].filter(Boolean).join(" ")
  }
  root.focusClose = () => button.focus({ preventScroll: true })
  return root
}

function buildTools(actions) {
  const trails = iconButton("trails", "Trails", actions.trails)
  const colour = iconButton("colour", COLOUR_TEXT.role, actions.colour)
  const image = iconButton("image", "Download PNG", actions.image)
  const link = iconButton("link", "Copy link to this frame", actions.link)
  const full = iconButton("full", "Full screen (F)", actions.full)
  const help = iconButton("help", "Keyboard shortcuts (?)", actions.help)
  const status = el("span", { class: "said", role: "status" })
  const root = el("div", { class: "tools", role: "toolbar", "aria-label": "View" },
    status, trails, colour, image, link, full, help)
  let timer = 0
  const announce = (text) => {
    status.replaceChildren(text)
    clearTimeout(timer)
    timer = setTimeout(() => status.replaceChildren(), 1800)
  }
  // Without access to the clipboard, the user copies the link from a field.
  const showLink = (text) => {
    clearTimeout(timer)
    const field = el("input", { class: "field", readonly: "", "aria-label": "Link", value: text })
    field.addEventListener("blur", () => status.replaceChildren())
    status.replaceChildren(field)
    field.focus()
    field.select()
  }
  return { root, trails, colour, full, announce, showLink }
}
