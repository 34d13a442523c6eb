// ---- Playing ------------------------------------------------------------------------

const LOOP_PAUSE = 0.8 // seconds that a loop stays at its end, so that the result can be seen
const TURN_PAUSE = 0.4

function advance(p, seconds) {
  const last = p.stage.times.length - 1
  if (p.rest > 0) {
    p.rest -= seconds
    if (p.rest > 0) return
    if (p.direction !== "pingpong") p.position = p.heading > 0 ? 0 : last
  } else {
    p.position += p.heading * seconds * p.speed * (last / p.stage.duration)
  }
  const over = p.heading > 0 ? p.position >= last : p.position <= 0
  p.position = clamp(p.position, 0, last)
  p.dirty = true
  if (over) arrive(p)
  tellClock(p)
}

function arrive(p) {
  if (p.direction === "pingpong" && (p.heading > 0 || p.loop)) {
    p.heading = -p.heading
    p.rest = TURN_PAUSE
  } else if (p.loop) p.rest = LOOP_PAUSE
  else setPlaying(p, false)
}

const togglePlay = (p) => (p.replay === null ? setPlaying(p, !p.playing) : toggleReplay(p))

function setPlaying(p, playing) {
  const last = p.stage.times.length - 1
  playing = playing && last > 0
  if (playing) {
    if (p.direction === "pingpong") {
      if (p.position >= last) p.heading = -1
      if (p.position <= 0) p.heading = 1
    } else if (p.heading > 0 ? p.position >= last : p.position <= 0) {
      p.position = p.heading > 0 ? 0 : last
    }
  } else p.position = Math.round(p.position) // a player at rest shows a t that exists
  if (playing) p.replay = null
  p.playing = playing
  p.leading = playing
  p.rest = 0
  p.before = 0
  tellClock(p)
  invalidate(p)
}

function seek(p, position) {
  p.position = clamp(position, 0, p.stage.times.length - 1)
  p.rest = 0
  tellClock(p)
  invalidate(p)
}

function step(p, n) {
  if (p.playing) setPlaying(p, false)
  seek(p, Math.round(p.position) + n)
}

function scrub(p, share, phase) {
  if (phase === "start") {
    p.resume = p.playing
    if (p.playing) setPlaying(p, false)
  }
  if (phase === "end") {
    seek(p, Math.round(p.position))
    if (p.resume) setPlaying(p, true)
    p.resume = false
  } else seek(p, share * (p.stage.times.length - 1))
}

function setSpeed(p, value) {
  if (SPEEDS.includes(value)) p.speed = value
  tellClock(p)
  invalidate(p)
}

function changeLoop(p) {
  p.loop = !p.loop
  p.tools.announce(LOOP_TEXT(p.loop))
  tellClock(p)
  invalidate(p)
}

function changeDirection(p) {
  p.direction = after(Object.keys(DIRECTION_TEXT), p.direction)
  if (p.direction !== "pingpong") p.heading = p.direction === "forward" ? 1 : -1
  p.tools.announce(DIRECTION_TEXT[p.direction])
  p.rest = 0
  invalidate(p)
}

// ---- One clock for several players --------------------------------------------------
// The player that was started tells the others its t / T. Using another one makes that one the leader.

function tellClock(p) {
  if (!p.stage.clock) return
  const detail = {
    clock: p.stage.clock, from: p, share: timeAt(p.stage, p.position) / (p.stage.T || 1),
    playing: p.playing, speed: p.speed, loop: p.loop,
  }
  page.clocks.set(p.stage.clock, detail)
  window.dispatchEvent(new CustomEvent("dpm-clock", { detail }))
}

function hearClock(p, detail) {
  if (!p.stage?.clock || detail.clock !== p.stage.clock || detail.from === p) return
  const position = positionOf(p.stage, detail.share * p.stage.T, p.position)
  if (position !== p.position) p.heading = Math.sign(position - p.position)
  // the bars over t send a position only, neither speed nor loop
  const { speed = p.speed, loop = p.loop } = detail
  Object.assign(p, { position, playing: detail.playing, speed, loop, leading: false })
  invalidate(p)
}

function joinClock(p) {
  const detail = p.stage.clock ? page.clocks.get(p.stage.clock) : null
  p.leader = detail?.playing && page.all.has(detail.from) ? detail.from : null
  if (detail && page.all.has(detail.from)) hearClock(p, detail)
}
