// ---- Numbers -----------------------------------------------------------------------

const clamp = (value, low, high) => Math.min(high, Math.max(low, value))

// Text of a number with a minus sign (U+2212) in place of the hyphen.
const withMinus = (text) => String(text).replace("-", "−")

const SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹"
const superscript = (integer) =>
  String(integer).replace("-", "⁻").replace(/\d/g, (digit) => SUPERSCRIPT[digit])

// Typed arrays of a megabyte are compared: a loop, because `every` would call a function for each entry.
function sameValues(a, b) {
  if (!a || !b || a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}
