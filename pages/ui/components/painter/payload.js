// ---- Payload: bytes -> checked pictures ---------------------------------------------
// The layout is described in pack.py.

// Pictures by checksum: the server does not send again what it knows to be here. They are stored for the page, because
// a canvas may be built anew at any time.
const pictures = (window.__dpmPictures ??= new Map())
const MAX_PICTURES = 6
class MissingPicture extends Error {}

function remember(picture) {
  pictures.delete(picture.checksum)
  pictures.set(picture.checksum, picture)
  if (pictures.size > MAX_PICTURES) pictures.delete(pictures.keys().next().value)
}

const BROKEN = "The picture could not be read: its header and its data do not agree."

// {mode, width, height, small, tall, revision, image, plane, result, before}. A picture is {pixels, channels}; a
// result also has `filled`, 0 or 1 per pixel, and covers the whole picture with 0 elsewhere. `plane` is what
// is painted on: 0 or 1 per pixel of a mask, 0 to 255 of a drawing.
function parsePayload(bytes) {
  const { head, start } = readMessage(bytes, "DPP1", "The picture")
  const count = head.width * head.height
  need(Number.isInteger(count) && count > 0, BROKEN)
  const blocks = {}
  let from = start
  for (const { name, channels, bytes: size, checksum } of head.blocks) {
    need(from + size <= bytes.length, BROKEN)
    // A copy, because the message belongs to Streamlit. The same picture stays the same object, so that what was made
    // from it can be used again.
    const known = checksum === null ? null : pictures.get(checksum)
    const stored = known?.channels === channels && known.pixels.length === count * channels ? known : null
    blocks[name] = stored || { pixels: bytes.slice(from, from + size), channels, checksum }
    from += size
  }
  const { image, mask, result, filled, before } = blocks
  for (const picture of [image, before]) if (picture && !picture.pixels.length) throw new MissingPicture()
  for (const picture of [image, before]) need(!picture || picture.pixels.length === count * picture.channels, BROKEN)
  need(image && (head.mode === "draw" || mask), BROKEN)
  if (head.mode !== "draw") for (const picture of [before, image]) if (picture) remember(picture)
  return {
    ...head, image, before: before || null,
    plane: head.mode === "draw" ? image.pixels.slice() : unpackBits(mask.pixels, count),
    result: result ? spread(result, unpackBits(filled.pixels, count)) : null,
  }
}

// Eight pixels per byte, the first in the highest bit.
function unpackBits(bits, count) {
  need(bits.length === Math.ceil(count / 8), BROKEN)
  const out = new Uint8Array(count)
  for (let i = 0; i < count; i++) out[i] = (bits[i >> 3] >> (7 - (i & 7))) & 1
  return out
}

// Only the pixels of the hole are sent.
function spread({ pixels, channels }, filled) {
  const out = new Uint8Array(filled.length * channels)
  let from = 0
  for (let i = 0; i < filled.length; i++) {
    if (!filled[i]) continue
    for (let c = 0; c < channels; c++) out[i * channels + c] = pixels[from++]
  }
  need(from === pixels.length, BROKEN)
  return { pixels: out, channels, filled }
}

// One pixel of a picture as a word of ImageData.
function wordOf({ pixels, channels }, i) {
  if (channels === 1) return 0xff000000 | (pixels[i] * 0x010101)
  return 0xff000000 | (pixels[3 * i + 2] << 16) | (pixels[3 * i + 1] << 8) | pixels[3 * i]
}
