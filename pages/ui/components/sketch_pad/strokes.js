// ---- Strokes: what is drawn, and the points of the data set on it -------------------
// A stroke is a list of points [[x, y], ...] on a pad of SIDE by SIDE units, y up. The points that were drawn are
// stored more densely than those of the data set, so that erasing stays exact.

const SIDE = 255
const SPACING = 3 // units between two points of the data set
const MAX_POINTS = 400
const DRAWN_SPACING = 0.7 // units between two points of a stroke
const ERASER_RADIUS = 11 // units

// One stroke → points at equal distances of about `spacing`.
function resample(stroke, spacing) {
  const length = lengthOf(stroke)
  const pieces = Math.round(length / spacing)
  if (pieces < 1) return [stroke[Math.floor(stroke.length / 2)]]
  const out = [stroke[0]]
  let travelled = 0
  for (let i = 1; i < stroke.length; i++) {
    const [ax, ay] = stroke[i - 1]
    const [bx, by] = stroke[i]
    const piece = Math.hypot(bx - ax, by - ay)
    while (out.length < pieces && travelled + piece >= (out.length * length) / pieces) {
      const share = ((out.length * length) / pieces - travelled) / piece
      out.push([ax + share * (bx - ax), ay + share * (by - ay)])
    }
    travelled += piece
  }
  out.push(stroke[stroke.length - 1])
  return out
}

function lengthOf(stroke) {
  let length = 0
  for (let i = 1; i < stroke.length; i++) {
    length += Math.hypot(stroke[i][0] - stroke[i - 1][0], stroke[i][1] - stroke[i - 1][1])
  }
  return length
}

// Strokes → [[x0, y0, x1, y1, ...], ...] of integers with at most MAX_POINTS points in total.
function dataOf(strokes) {
  const total = strokes.reduce((sum, stroke) => sum + lengthOf(stroke), 0)
  // Every stroke has one point more than it has pieces.
  const room = Math.max(1, MAX_POINTS - strokes.length * 1.5)
  const spacing = Math.max(SPACING, total / room)
  const sampled = strokes.map((stroke) => resample(stroke, spacing).map((point) => point.map(Math.round)))
  const count = sampled.reduce((sum, stroke) => sum + stroke.length, 0)
  const share = Math.min(1, MAX_POINTS / count)
  let seen = 0
  return sampled
    .map((stroke) => stroke.filter(() => Math.floor((seen += 1) * share) > Math.floor((seen - 1) * share)))
    .filter((stroke) => stroke.length)
    .map((stroke) => stroke.flat())
}

function strokesOf(data) {
  return data.map((flat) => {
    const stroke = []
    for (let i = 0; i + 1 < flat.length; i += 2) stroke.push([flat[i], flat[i + 1]])
    return stroke
  })
}

// Points are inserted between distant ones, so that the eraser also meets the line between them.
function dense(stroke) {
  const out = [stroke[0]]
  for (let i = 1; i < stroke.length; i++) {
    const [ax, ay] = stroke[i - 1]
    const [bx, by] = stroke[i]
    const n = Math.max(1, Math.ceil(Math.hypot(bx - ax, by - ay) / (2 * DRAWN_SPACING)))
    for (let k = 1; k <= n; k++) out.push([ax + (k / n) * (bx - ax), ay + (k / n) * (by - ay)])
  }
  return out
}

// Distance of a point from the segment a–b.
function distance([px, py], [ax, ay], [bx, by]) {
  const dx = bx - ax
  const dy = by - ay
  const square = dx * dx + dy * dy
  const share = square ? clamp(((px - ax) * dx + (py - ay) * dy) / square, 0, 1) : 0
  return Math.hypot(px - ax - share * dx, py - ay - share * dy)
}

// What remains of the strokes when the eraser has moved along the segment a–b. A stroke that it does not meet stays
// the same object.
function erase(strokes, a, b) {
  const remaining = []
  for (const stroke of strokes) {
    if (!dense(stroke).some((point) => distance(point, a, b) < ERASER_RADIUS)) {
      remaining.push(stroke)
      continue
    }
    let run = []
    for (const point of dense(stroke)) {
      if (distance(point, a, b) >= ERASER_RADIUS) {
        run.push(point)
      } else {
        if (run.length) remaining.push(run)
        run = []
      }
    }
    if (run.length) remaining.push(run)
  }
  return remaining
}
