// ---- Messages packed by Python -----------------------------------------------------
// Layout: four letters, header length (uint32, little endian), JSON header, body. Nothing in a message is trusted:
// every size is checked before an array is made, so that a damaged message gives an error message, not a crash.

function need(condition, sentence) {
  if (!condition) throw new Error(sentence)
}

// {head, start}: the JSON header and where the body starts. what: the subject of error messages.
function readMessage(bytes, letters, what) {
  const check = (condition, reason) => need(condition, `${what} could not be read: ${reason}.`)
  check(bytes instanceof Uint8Array && bytes.length >= 8, "no data arrived")
  check(String.fromCharCode(...bytes.subarray(0, 4)) === letters, "the format of the data is unknown")
  const start = 8 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true)
  check(start <= bytes.length, "the data is incomplete")
  let head = null
  try {
    head = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start)))
  } catch {
    check(false, "its header is damaged")
  }
  return { head, start }
}
