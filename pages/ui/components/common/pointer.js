// ---- Pointer -----------------------------------------------------------------------

// Position of an event inside an element, in CSS pixels from its upper left corner.
function pointIn(node, event) {
  const box = node.getBoundingClientRect()
  return [event.clientX - box.left, event.clientY - box.top]
}

// The same as shares of the element's width and height.
function sharesIn(node, event) {
  const box = node.getBoundingClientRect()
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]
}

// Position along an element's width, from 0 to 1.
function shareAlong(node, event) {
  const box = node.getBoundingClientRect()
  return clamp((event.clientX - box.left) / Math.max(1, box.width), 0, 1)
}

// All positions of the pointer since the last frame: without them fast strokes would be polygons.
function coalesced(event) {
  const events = event.getCoalescedEvents?.() ?? []
  return events.length ? events : [event]
}
