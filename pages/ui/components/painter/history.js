// ---- History: undo for everything that changes the plane ---------------------------
// A snapshot is what is sent to the server: the run lengths of masks.encode or masks.encode_drawing.

const MAX_NUMBERS = 4_000_000 // in all snapshots together; a plain mask has a few hundred

function snapshotOf(p) {
  const { plane, mode } = p
  const out = []
  let value = mode === "draw" ? plane[0] : 0
  let from = 0
  for (let i = 0; i <= plane.length; i++) {
    if (i < plane.length && plane[i] === value) continue
    mode === "draw" ? out.push(value, i - from) : out.push(i - from)
    from = i
    value = plane[i]
  }
  return Uint32Array.from(out)
}

function restore(p, snapshot) {
  let at = 0
  if (p.mode === "draw") {
    for (let i = 0; i < snapshot.length; i += 2) p.plane.fill(snapshot[i], at, (at += snapshot[i + 1]))
  } else snapshot.forEach((length, i) => p.plane.fill(i % 2, at, (at += length)))
  touch(p)
}

// The plane has changed: store the former one for undo, and tell the server unless it made the change.
function commit(p, tellServer = true) {
  const next = snapshotOf(p)
  if (sameValues(next, p.now)) return false
  p.undo.push(p.now)
  p.redo = []
  p.now = next
  for (let sum = p.undo.reduce((n, s) => n + s.length, 0); sum > MAX_NUMBERS; ) sum -= p.undo.shift().length
  if (tellServer) send(p)
  showState(p)
  return true
}

function send(p) {
  p.number += 1
  const have = [p.image, p.before].flatMap((picture) => picture?.checksum ?? [])
  p.setStateValue("painting", { sender: p.sender, number: p.number, revision: p.revision, have, runs: Array.from(p.now) })
}

// One step from one stack to the other, for undo or redo.
function moveInHistory(p, from, to) {
  if (p.gesture || !from.length) return
  to.push(p.now)
  p.now = from.pop()
  restore(p, p.now)
  send(p)
  showState(p)
}
const undo = (p) => moveInHistory(p, p.undo, p.redo)
const redo = (p) => moveInHistory(p, p.redo, p.undo)

// How far one press of grow or shrink goes: a pixel on small pictures, the same share of larger ones.
const reachOf = (p) => Math.max(1, Math.round(Math.max(p.width, p.height) / 128))

const OPERATIONS = {
  clear: (p) => new Uint8Array(p.plane.length),
  invert: (p) => (p.mode === "draw" ? p.plane.map((value) => 255 - value) : inverted(p.plane)),
  grow: (p) => grown(p.plane, p.width, p.height, reachOf(p)),
  shrink: (p) => shrunk(p.plane, p.width, p.height, reachOf(p)),
}

function operate(p, name) {
  if (p.gesture || !p.plane) return
  p.plane = OPERATIONS[name](p)
  touch(p)
  commit(p)
}

// Show the server's plane. During a gesture it waits, so that no stroke is lost; undo restores the former plane.
function adopt(p, plane, revision) {
  p.revision = revision
  p.plane = plane
  touch(p)
  commit(p, false)
}
