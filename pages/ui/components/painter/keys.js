// ---- Keyboard -----------------------------------------------------------------------
// Keys act while the painter has the focus or the pointer is over its canvas. A field with the focus, and any other
// component with the focus, receive their own keys.

const TYPED = "textarea,select,[contenteditable]:not([contenteditable=false]),[role=combobox],[role=listbox]," +
  "[role=dialog],[role=grid],[role=menu],input:not([type=radio],[type=checkbox],[type=range],[type=button])"

function keysAreForPainter(p, event) {
  const target = event.composedPath()[0]
  if (!(target instanceof Element) || target === document.body) return p.over
  // Keys that press or move the element with the focus are left to it, unless it is the canvas.
  const used = target !== p.canvas && (event.key === " " || event.key === "Enter" || isMove(event))
  if (p.root.contains(target)) return !used || (event.key === " " && !target.matches("button"))
  if (!p.over || target.getRootNode() !== document || target.closest(TYPED)) return false
  return !(used && target.closest("button,a,summary,input,[role=button],[role=slider],[role=radio],[role=tab]"))
}

const isMove = (event) => /^(Arrow|Home|End|Page)/.test(event.key)

function keyAction(p, event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key
  // On many keyboards brackets need Alt or AltGr.
  if (key === "[" || key === "]") return () => stepSize(p, key === "]")
  if (event.altKey) return null
  if (event.ctrlKey || event.metaKey) {
    return { z: () => (event.shiftKey ? redo(p) : undo(p)), y: () => redo(p) }[key]
  }
  // Tab compares only where the pointer was used last: otherwise it moves the focus as usual.
  if (key === "Tab") return p.over && p.pointed > p.typed && !event.shiftKey && referenceOf(p) ? () => setComparing(p, true) : null
  const tool = Object.keys(TOOLS).find((name) => TOOLS[name][1][0].toLowerCase() === key)
  if (tool) return p.mode === "draw" && !"be".includes(key) ? null : () => setTool(p, tool)
  if (isMove(event) || key === "Enter") return cursorKey(p, event)
  return {
    " ": () => holdSpace(p, true),
    "?": () => toggleHelp(p),
    Escape: p.gesture ? () => cancelGesture(p) : p.view && (() => resetView(p)),
  }[key]
}

// On the canvas itself arrows move the brush and Enter paints where it is.
function cursorKey(p, event) {
  if (event.composedPath()[0] !== p.canvas || !p.plane || p.gesture) return null
  const step = event.shiftKey ? 10 : 1
  const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key]
  const at = p.cursor || [p.width / 2, p.height / 2]
  if (move) {
    return () => {
      p.cursor = [clamp(at[0] + move[0], 0, p.width), clamp(at[1] + move[1], 0, p.height)]
      schedule(p)
    }
  }
  if (event.key !== "Enter" || !brushTool(p)) return null
  return () => {
    p.cursor = at
    p.gesture = { kind: "stroke", erase: p.tool === "eraser", last: at }
    dab(p, at)
    p.gesture = null
    commit(p)
  }
}

function holdSpace(p, on) {
  p.space = on
  p.root.classList.toggle("moving", on)
  schedule(p)
}

// Handled before the page, which has its own keys: R would rerun the app.
function onKeyDown(p, event) {
  const act = p.plane && keysAreForPainter(p, event) ? keyAction(p, event) : null
  if (!act) {
    p.typed = event.timeStamp
    if (event.key === "Tab") p.root.classList.remove("pointed")
    return
  }
  event.preventDefault()
  event.stopImmediatePropagation()
  if (!event.repeat || /[\[\]zy]|Arrow/i.test(event.key)) act()
}

function onKeyUp(p, event) {
  if (event.key === " " && p.space) holdSpace(p, false)
  if (event.key === "Tab") setComparing(p, false)
}

function releaseKeys(p) {
  holdSpace(p, false)
  setComparing(p, false)
}
