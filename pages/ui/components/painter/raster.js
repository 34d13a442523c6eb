// ---- Raster: shapes on whole pixels -------------------------------------------------
// A pixel belongs to a shape when its centre does. `row(y, from, to)` is called for each row of a shape with the
// first pixel and the one after the last; everything is clipped to the picture here.

// The middle of a brush lies on a pixel's centre when its diameter is odd and on a corner when it is even, so that a
// brush of d pixels always covers d pixels across, at any zoom.
const snapTo = (value, diameter) => (diameter % 2 ? Math.floor(value) + 0.5 : Math.round(value))

function clippedRow(y, left, right, width, row) {
  const from = Math.max(0, Math.ceil(left - 0.5 - 1e-9))
  const to = Math.min(width, Math.floor(right - 0.5 + 1e-9) + 1)
  if (from < to) row(y, from, to)
}

// What a disc covers on its way from a to b. The shape is convex, so each row is one interval, which ends on
// one of the two discs or on one of the two lines that touch both.
function sweepDisc([ax, ay], [bx, by], radius, width, height, row) {
  const length = Math.hypot(bx - ax, by - ay)
  const [nx, ny] = length ? [(-(by - ay) / length) * radius, ((bx - ax) / length) * radius] : [0, 0]
  const top = Math.max(0, Math.ceil(Math.min(ay, by) - radius - 0.5 - 1e-9))
  const bottom = Math.min(height - 1, Math.floor(Math.max(ay, by) + radius - 0.5 + 1e-9))
  for (let y = top; y <= bottom; y++) {
    let left = Infinity
    let right = -Infinity
    const reach = (x, half) => {
      left = Math.min(left, x - half)
      right = Math.max(right, x + half)
    }
    for (const [cx, cy] of [[ax, ay], [bx, by]]) {
      const square = radius * radius - (y + 0.5 - cy) ** 2
      if (square >= -1e-9) reach(cx, Math.sqrt(Math.max(0, square)))
    }
    for (const side of length ? [1, -1] : []) {
      const [sy, ey] = [ay + side * ny, by + side * ny]
      if (sy === ey || (y + 0.5 - sy) * (y + 0.5 - ey) > 0) continue
      reach(ax + side * nx + ((y + 0.5 - sy) / (ey - sy)) * (bx - ax), 0)
    }
    clippedRow(y, left, right, width, row)
  }
}

// From one pixel to another, both included.
function sweepBox([ax, ay], [bx, by], width, height, row) {
  const edges = (a, b) => [Math.min(Math.floor(a), Math.floor(b)), Math.max(Math.floor(a), Math.floor(b)) + 1]
  const [[left, right], [top, bottom]] = [edges(ax, bx), edges(ay, by)]
  for (let y = Math.max(0, top); y < Math.min(height, bottom); y++) clippedRow(y, left, right, width, row)
}

// The inside of a closed line; where it winds around twice is inside too.
function sweepLasso(points, width, height, row) {
  const ys = points.map((p) => p[1])
  const top = Math.max(0, Math.floor(Math.min(...ys)))
  const bottom = Math.min(height - 1, Math.ceil(Math.max(...ys)))
  for (let y = top; y <= bottom; y++) {
    const middle = y + 0.5
    const crossings = []
    points.forEach(([ax, ay], i) => {
      const [bx, by] = points[(i + 1) % points.length]
      if (ay <= middle === by <= middle) return
      crossings.push([ax + ((middle - ay) / (by - ay)) * (bx - ax), by > ay ? 1 : -1])
    })
    crossings.sort((a, b) => a[0] - b[0])
    let winding = 0
    crossings.forEach(([x, turn], i) => {
      winding += turn
      if (winding) clippedRow(y, x, crossings[i + 1][0], width, row)
    })
  }
}

// A round brush with a soft edge, for drawings: ink only adds, the eraser only takes away.
const SOFT = 0.75 // pixels on either side of the radius over which the ink fades
function sweepSoft(plane, [ax, ay], [bx, by], radius, erase, width, height) {
  const reach = radius + SOFT
  const range = (a, b, size) => [clamp(Math.floor(Math.min(a, b) - reach), 0, size), clamp(Math.ceil(Math.max(a, b) + reach), 0, size)]
  const [[left, right], [top, bottom]] = [range(ax, bx, width), range(ay, by, height)]
  const [dx, dy] = [bx - ax, by - ay]
  const square = dx * dx + dy * dy
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const [px, py] = [x + 0.5 - ax, y + 0.5 - ay]
      const along = square ? clamp((px * dx + py * dy) / square, 0, 1) : 0
      const share = clamp((reach - Math.hypot(px - along * dx, py - along * dy)) / (2 * SOFT), 0, 1)
      const ink = Math.round(255 * share * share * (3 - 2 * share))
      const i = y * width + x
      plane[i] = erase ? Math.min(plane[i], 255 - ink) : Math.max(plane[i], ink)
    }
  }
  return { left, top, right, bottom }
}

// Every pixel within k pixels of a marked one. Only marked pixels with an unmarked neighbour need to spread.
function grown(plane, width, height, k) {
  const out = plane.slice()
  const half = Array.from({ length: 2 * k + 1 }, (_, i) => Math.floor(Math.sqrt(k * k - (i - k) ** 2)))
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (!plane[i]) continue
      const inner = (x === 0 || plane[i - 1]) && (x === width - 1 || plane[i + 1]) &&
        (y === 0 || plane[i - width]) && (y === height - 1 || plane[i + width])
      if (inner) continue
      for (let row = Math.max(0, y - k); row <= Math.min(height - 1, y + k); row++) {
        const reach = half[row - y + k]
        out.fill(1, row * width + Math.max(0, x - reach), row * width + Math.min(width, x + reach + 1))
      }
    }
  }
  return out
}

const inverted = (plane) => plane.map((value) => 1 - value)
const shrunk = (plane, width, height, k) => inverted(grown(inverted(plane), width, height, k))
