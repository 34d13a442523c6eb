// ---- Life of a component -----------------------------------------------------------

// Streamlit calls the component function again for the same parent element with new data or another theme, so the
// state of a component, an object with its element as `root`, is stored by parent element.
const instances = new WeakMap()
const disposed = new WeakSet()

function instanceFor(parent, create) {
  const existing = instances.get(parent)
  if (existing?.root.parentNode) return existing
  const instance = create(parent)
  instances.set(parent, instance)
  return instance
}

// The cleanup function that a component returns. A call that was replaced by a newer one is cleaned up although its
// element is still shown, so only an element that has left the page is disposed of.
function disposeWhenRemoved(parent, instance, dispose) {
  return () => setTimeout(() => {
    if (instance.root.isConnected || disposed.has(instance)) return
    disposed.add(instance)
    if (instances.get(parent) === instance) instances.delete(parent)
    dispose(instance)
  })
}

// Event listeners that are removed together.
class Listeners {
  constructor() {
    this.removals = []
  }

  add(target, type, act, options) {
    target.addEventListener(type, act, options)
    this.removals.push(() => target.removeEventListener(type, act, options))
  }

  removeAll() {
    for (const remove of this.removals) remove()
  }
}

// Calls `draw` once before the next paint, however often it is requested until then.
class FrameRequest {
  constructor(draw) {
    this.draw = draw
    this.id = 0
  }

  request() {
    this.id ||= requestAnimationFrame(() => {
      this.id = 0
      this.draw()
    })
  }

  cancel() {
    cancelAnimationFrame(this.id)
    this.id = 0
  }
}

// Values sent to the server, which come back with the next data. What comes back is not new: applying it would undo
// edits made in the meantime.
class SentValues {
  constructor() {
    this.texts = []
  }

  add(value) {
    this.texts.push(JSON.stringify(value))
  }

  // Whether the value was sent from here; it and all earlier ones are then forgotten.
  returned(value) {
    const index = this.texts.indexOf(JSON.stringify(value))
    this.texts.splice(0, index + 1)
    return index >= 0
  }

  clear() {
    this.texts = []
  }
}
