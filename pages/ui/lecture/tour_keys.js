// The keyboard of a guided tour: ← → and the page keys of a presenter's remote control go to the previous and next stop.
// The player steps with the same arrows while it has the focus; fields, sliders and menus keep all their keys.

const MOVES = { ArrowLeft: -1, ArrowRight: 1, PageUp: -1, PageDown: 1 }
const TEXT = "input,textarea,select,[contenteditable]:not([contenteditable=false])"
const OCCUPIED = `${TEXT},[role=slider],[role=combobox],[role=listbox],[role=option],[role=menu],[role=tab],[role=radio],[role=dialog],[role=grid]`

function isFree(target, key) {
  if (!(target instanceof Element) || target === document.body) return true
  if (key.startsWith("Page")) return !target.closest(TEXT)
  return target.getRootNode() === document && !target.closest(OCCUPIED)
}

// Escape gives the keys back: the player, inside its shadow root, loses the focus once it has handled the key itself.
function releaseFocus() {
  let active = document.activeElement
  while (active?.shadowRoot?.activeElement) active = active.shadowRoot.activeElement
  active?.blur()
}

export default function ({ setTriggerValue }) {
  const onKey = (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return
    if (event.key === "Escape") return void setTimeout(releaseFocus)
    const move = MOVES[event.key]
    if (!move || !isFree(event.composedPath()[0], event.key)) return
    event.preventDefault()
    event.stopImmediatePropagation() // the player answers to the arrows even without the focus
    if (!event.repeat) setTriggerValue("move", move)
  }
  window.addEventListener("keydown", onKey, true) // before the player hears it
  return () => window.removeEventListener("keydown", onKey, true)
}
