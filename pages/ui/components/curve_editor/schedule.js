// ---- Schedules: control points → β_t and log SNR ------------------------------------
// A control point is {u, v}: its place u in [0, 1] on the way from step 1 to T, and v = log10 β.

const LOG_BETA_MIN = -5

const finite = (x) => typeof x === "number" && Number.isFinite(x)
const sigmoid = (x) => (x < 0 ? Math.exp(x) / (1 + Math.exp(x)) : 1 / (1 + Math.exp(-x)))

// Piecewise linear in log10 β over u, constant beyond the first and last point.
function interpolate(points, u) {
  const last = points.length - 1
  if (u <= points[0].u) return points[0].v
  if (u >= points[last].u) return points[last].v
  let i = 1
  while (points[i].u < u) i += 1
  const a = points[i - 1]
  const b = points[i]
  return a.v + ((b.v - a.v) * (u - a.u)) / (b.u - a.u)
}

// Control points → {beta: [T], logSnr: [T]}; ᾱ_t is the product of 1 − β up to t.
function scheduleOf(points, T) {
  const beta = new Float64Array(T)
  const logSnr = new Float64Array(T)
  let sum = 0
  for (let i = 0; i < T; i++) {
    beta[i] = 10 ** interpolate(points, T > 1 ? i / (T - 1) : 0)
    sum += Math.log1p(-beta[i])
    logSnr[i] = sum - Math.log(-Math.expm1(sum))
  }
  return { beta, logSnr }
}

// A curve from the server. A null log SNR is infinite; its sign follows from the product of 1 − β up to t.
function receivedCurve(curve) {
  const beta = Float64Array.from(curve.beta, (x) => (finite(x) ? x : 0))
  let sum = 0
  const logSnr = Float64Array.from(curve.log_snr, (x, i) => {
    sum += Math.log1p(-clamp(beta[i] || 0, 0, 1))
    if (finite(x)) return x
    return sum < -0.5 ? -Infinity : Infinity
  })
  return { beta, logSnr }
}

// [[u, beta], ...] from the server → control points of which the first and last lie at u = 0 and 1, for the same curve.
function pointsFrom(pairs) {
  const points = pairs
    .filter((pair) => Array.isArray(pair) && finite(pair[0]) && finite(pair[1]))
    .map(([u, beta]) => ({ u: clamp(u, 0, 1), v: clamp(Math.log10(Math.max(beta, 1e-12)), LOG_BETA_MIN, 0) }))
    .sort((a, b) => a.u - b.u)
  if (!points.length) return null
  if (points[0].u > 0) points.unshift({ ...points[0], u: 0 })
  if (points.at(-1).u < 1) points.push({ ...points.at(-1), u: 1 })
  return points
}

const pairsFrom = (points) => points.map(({ u, v }) => [Math.round(u * 1e4) / 1e4, Number((10 ** v).toPrecision(5))])

// A probability with three significant digits, in powers of ten where it is small.
function probabilityText(x) {
  if (x === 0 || x === 1) return String(x)
  if (x >= 0.001) return x > 0.999 ? x.toFixed(5) : x.toPrecision(3)
  const [digits, power] = x.toExponential(1).split("e")
  return `${digits}·10${superscript(Number(power))}`
}
