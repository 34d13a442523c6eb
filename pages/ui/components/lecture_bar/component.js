// ---- The bar of a lecture -----------------------------------------------------------
// It is drawn into the page itself, not into the component's place, because it stays while everything else is replaced.

const LOOK_EVERY = 250 // ms between two looks at the players
const AGAIN_AFTER = 5000 // ms after which players that play are sent again, so that nobody drifts away
const hall = (window.__dpmHall ??= { role: "", send: null, sent: "", at: 0, heard: "", timer: 0 })

const STYLE = `
#dpm-hall { position: fixed; inset: auto 0 0 auto; margin: 0 1rem 1rem; z-index: 1000000; display: flex; gap: 0.7rem; align-items: center;
  padding: 0.35rem 0.4rem 0.35rem 0.9rem; border-radius: 2rem; border: 1px solid var(--line);
  font-size: 0.875rem; box-shadow: 0 2px 12px rgb(0 0 0 / 12%); }
#dpm-hall button { font: inherit; color: inherit; background: none; border: 1px solid var(--line); border-radius: 2rem;
  padding: 0.2rem 0.8rem; cursor: pointer; }
#dpm-hall button:hover, #dpm-hall button:focus-visible { border-color: currentColor; }
#dpm-hall .dot { width: 0.55rem; height: 0.55rem; border-radius: 50%; background: #e4572e; }
body.dpm-following [data-testid="stMainBlockContainer"], body.dpm-following [data-testid="stSidebarUserContent"],
body.dpm-following [data-testid="stSidebarNav"], body.dpm-following [data-testid="stHeader"] { pointer-events: none; }
@media (max-width: 640px) { #dpm-hall { inset: 0 0 auto auto; margin: 0.5rem; } }  /* the foot has the timeline of the player */
@media print { #dpm-hall { display: none; } }
`

// The address of this page, followed or not, in any case without the lecturer's secret.
function address(follow) {
  const url = new URL(location.href)
  url.searchParams.delete("lecturer")
  follow ? url.searchParams.delete("follow") : url.searchParams.set("follow", "0")
  return url.href
}

function bar(words, label, act) {
  document.getElementById("dpm-hall")?.remove()
  document.getElementById("dpm-hall-style") ?? document.head.append(el("style", { id: "dpm-hall-style" }, STYLE))
  const button = el("button", { type: "button", onclick: () => act(button) }, label)
  document.body.append(el("div", { id: "dpm-hall", role: "status" }, el("span", { class: "dot", "aria-hidden": "true" }), words, button))
}

function showRole(data) {
  const { color, backgroundColor, fontFamily } = getComputedStyle(document.querySelector('[data-testid="stApp"]') ?? document.body)
  const shown = `${hall.role} ${data.viewers ?? ""} ${color}` // the colour tells the theme
  if (document.getElementById("dpm-hall")?.dataset.shown === shown) return
  if (hall.role === "follower") bar("You follow the lecture", "Leave", () => location.assign(address(false)))
  else if (hall.role === "explorer") bar("You explore on your own", "Rejoin the lecture", () => location.assign(address(true)))
  else bar(data.viewers === 1 ? "1 viewer follows" : `${data.viewers} viewers follow`, "Copy the viewers' link", copyLink)
  const place = document.getElementById("dpm-hall")
  place.dataset.shown = shown
  Object.assign(place.style, { color, backgroundColor, fontFamily })
  place.style.setProperty("--line", `color-mix(in srgb, ${color} 18%, transparent)`)
  document.body.classList.toggle("dpm-following", hall.role === "follower")
}

function copyLink(button) {
  const done = () => { button.textContent = "Copied" }
  navigator.clipboard?.writeText(address(true)).then(done, () => { button.textContent = address(true) })
    ?? (button.textContent = address(true))
}

// What the lecturer's players show, if anything but the place of those that play has changed. The address goes to the server with it.
function look() {
  const moments = window.__dpmPlayers?.read?.() ?? []
  const key = location.search + JSON.stringify(moments.map((m) => (m.playing || m.replay ? { ...m, position: null, version: null } : m)))
  const playing = moments.some((m) => m.playing)
  if (key === hall.sent && !(playing && Date.now() - hall.at > AGAIN_AFTER)) return
  Object.assign(hall, { sent: key, at: Date.now() })
  hall.send(JSON.stringify([...moments, { at: Date.now() }])) // a state that is as before would not be sent
}

// A viewer's address and players. Both are set again after a while, as they may belong to a page that is still on its way.
function hear({ moment, link }) {
  const heard = JSON.stringify([moment, link])
  if (heard === hall.heard) return
  hall.heard = heard
  for (const wait of [0, 400, 1200, 3000]) setTimeout(() => hall.heard === heard && take(moment, link), wait)
}

function take(moment, link) {
  if (link !== undefined) history.replaceState(history.state, "", `${location.pathname}${link && "?"}${link}`)
  if (moment) window.__dpmPlayers?.apply?.(JSON.parse(moment))
}

export default function ({ data, setStateValue }) {
  hall.role = data.role
  if (hall.role === "lecturer") {
    hall.send = (text) => setStateValue("moment", text)
    hall.timer ||= setInterval(look, LOOK_EVERY)
  }
  if (hall.role === "follower") hear(data)
  showRole(data)
}
