const SIDE = 255;
const SPACING = 3; // between points of the data set, in units of the 255-unit pad
const MAX_POINTS = 400;
const RAW_STEP = 0.7; // the ink itself is kept finer than the data, so erasing stays exact
const ERASER = 11;
const MAX_UNDO = 60;

const instances = new WeakMap();

const clamp = (x) => Math.min(SIDE, Math.max(0, x));

/** One stroke of points [[x, y], ...] → points an even distance, about `spacing`, apart. */
function even(stroke, spacing) {
  const length = lengthOf(stroke);
  const pieces = Math.round(length / spacing);
  if (pieces < 1) return [stroke[Math.floor(stroke.length / 2)]];
  const out = [stroke[0]];
  let travelled = 0;
  for (let i = 1; i < stroke.length; i += 1) {
    const [ax, ay] = stroke[i - 1];
    const [bx, by] = stroke[i];
    const piece = Math.hypot(bx - ax, by - ay);
    while (out.length < pieces && travelled + piece >= (out.length * length) / pieces) {
      const share = ((out.length * length) / pieces - travelled) / piece;
      out.push([ax + share * (bx - ax), ay + share * (by - ay)]);
    }
    travelled += piece;
  }
  out.push(stroke[stroke.length - 1]);
  return out;
}

function lengthOf(stroke) {
  let length = 0;
  for (let i = 1; i < stroke.length; i += 1) {
    length += Math.hypot(stroke[i][0] - stroke[i - 1][0], stroke[i][1] - stroke[i - 1][1]);
  }
  return length;
}

/** Ink → [[x0, y0, x1, y1, ...], ...] of integers with at most 400 points in total. */
function dataOf(ink) {
  const total = ink.reduce((sum, stroke) => sum + lengthOf(stroke), 0);
  // Every stroke has one point more than it has pieces.
  const room = Math.max(1, MAX_POINTS - ink.length * 1.5);
  const spacing = Math.max(SPACING, total / room);
  const strokes = ink.map((stroke) => even(stroke, spacing).map((p) => p.map(Math.round)));
  const count = strokes.reduce((sum, stroke) => sum + stroke.length, 0);
  const keep = Math.min(1, MAX_POINTS / count);
  let seen = 0;
  return strokes
    .map((stroke) => stroke.filter(() => Math.floor((seen += 1) * keep) > Math.floor((seen - 1) * keep)))
    .filter((stroke) => stroke.length)
    .map((stroke) => stroke.flat());
}

function inkOf(strokes) {
  return strokes.map((flat) => {
    const stroke = [];
    for (let i = 0; i + 1 < flat.length; i += 2) stroke.push([flat[i], flat[i + 1]]);
    return stroke;
  });
}

/** Fill in points so that the eraser meets the ink between two far ones. */
function dense(stroke) {
  const out = [stroke[0]];
  for (let i = 1; i < stroke.length; i += 1) {
    const [ax, ay] = stroke[i - 1];
    const [bx, by] = stroke[i];
    const n = Math.max(1, Math.ceil(Math.hypot(bx - ax, by - ay) / (2 * RAW_STEP)));
    for (let k = 1; k <= n; k += 1) out.push([ax + (k / n) * (bx - ax), ay + (k / n) * (by - ay)]);
  }
  return out;
}

function distance([px, py], [ax, ay], [bx, by]) {
  const dx = bx - ax;
  const dy = by - ay;
  const square = dx * dx + dy * dy;
  const share = square ? Math.min(1, Math.max(0, ((px - ax) * dx + (py - ay) * dy) / square)) : 0;
  return Math.hypot(px - ax - share * dx, py - ay - share * dy);
}

/** The ink left when everything within the eraser's reach of the segment a–b is gone. */
function erase(ink, a, b) {
  const left = [];
  for (const stroke of ink) {
    if (!dense(stroke).some((p) => distance(p, a, b) < ERASER)) {
      left.push(stroke);
      continue;
    }
    let run = [];
    for (const p of dense(stroke)) {
      if (distance(p, a, b) >= ERASER) {
        run.push(p);
      } else {
        if (run.length) left.push(run);
        run = [];
      }
    }
    if (run.length) left.push(run);
  }
  return left;
}

function element(name, className, parent) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (parent) parent.append(node);
  return node;
}

class Pad {
  constructor(root) {
    this.root = root;
    this.ink = [];
    this.undos = [];
    this.sent = []; // drawings on their way to the server and back
    this.id = null;
    this.gesture = null;
    this.frameRequest = 0;
    this.build();
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.canvas);
  }

  build() {
    this.root.replaceChildren();
    this.pad = element("div", "pad", this.root);
    this.canvas = element("canvas", "", this.pad);
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.context = this.canvas.getContext("2d");
    this.empty = element("div", "empty", this.pad);
    element("span", "", this.empty).textContent = "Draw a shape";
    this.eraser = element("div", "eraser off", this.pad);

    const tools = element("div", "tools", this.root);
    this.eraseButton = this.button(tools, "Erase", () => this.setErasing(!this.erasing));
    this.undoButton = this.button(tools, "Undo", () => this.undo());
    this.clearButton = this.button(tools, "Clear", () => this.clear());
    this.setErasing(false);

    this.canvas.addEventListener("pointerdown", (event) => this.down(event));
    this.canvas.addEventListener("pointermove", (event) => this.move(event));
    this.canvas.addEventListener("pointerup", (event) => this.up(event));
    this.canvas.addEventListener("pointercancel", (event) => this.cancel(event));
    this.canvas.addEventListener("pointerleave", () => this.eraser.classList.add("off"));
    this.root.addEventListener("keydown", (event) => {
      if (!(event.ctrlKey || event.metaKey) || event.shiftKey || event.key.toLowerCase() !== "z") return;
      event.preventDefault();
      event.stopPropagation();
      this.undo();
    });
  }

  button(parent, label, act) {
    const node = element("button", "", parent);
    node.type = "button";
    node.textContent = label;
    node.addEventListener("click", act);
    return node;
  }

  dispose() {
    this.observer.disconnect();
    cancelAnimationFrame(this.frameRequest);
    this.density?.removeEventListener("change", this.onDensity);
  }

  // ---- data ------------------------------------------------------------------------------

  receive(data) {
    this.paintTone();
    if (this.gesture) this.pending = data;
    else this.adopt(data);
    this.schedule();
  }

  /** Take the server's drawing unless it is only an echo of what was drawn here. */
  adopt(data) {
    if (data.id === this.id) return;
    this.id = data.id;
    const text = JSON.stringify(data.strokes);
    const echo = this.sent.indexOf(text);
    if (echo >= 0) {
      this.sent.splice(0, echo + 1);
      return;
    }
    this.sent = [];
    this.undos = [];
    this.show(inkOf(data.strokes), data.strokes);
  }

  show(ink, strokes) {
    this.ink = ink;
    this.strokes = strokes;
    // On an empty pad there is nothing to erase, and a person wants to draw again.
    if (!ink.length) this.setErasing(false);
    this.refresh();
  }

  refresh() {
    const count = this.strokes.reduce((sum, stroke) => sum + stroke.length / 2, 0);
    this.empty.classList.toggle("off", count > 0 || Boolean(this.gesture));
    this.undoButton.disabled = !this.undos.length;
    this.clearButton.disabled = !count;
    this.canvas.setAttribute("aria-label", count ? `Drawing pad with ${count} points` : "Drawing pad, empty");
    this.schedule();
  }

  remember() {
    this.undos.push(this.ink);
    if (this.undos.length > MAX_UNDO) this.undos.shift();
  }

  commit(ink) {
    this.show(ink, dataOf(ink));
    this.sent.push(JSON.stringify(this.strokes));
    this.setStateValue("strokes", this.strokes);
  }

  undo() {
    if (this.gesture || !this.undos.length) return;
    this.commit(this.undos.pop());
  }

  clear() {
    if (this.gesture || !this.ink.length) return;
    this.remember();
    this.commit([]);
  }

  setErasing(on) {
    this.erasing = on;
    this.eraseButton.setAttribute("aria-pressed", String(on));
    this.pad.classList.toggle("erasing", on);
    this.eraser.classList.add("off");
  }

  // ---- pointer ---------------------------------------------------------------------------

  local(event) {
    const box = this.canvas.getBoundingClientRect();
    return [
      clamp(((event.clientX - box.left) / box.width) * SIDE),
      clamp((1 - (event.clientY - box.top) / box.height) * SIDE),
    ];
  }

  down(event) {
    if (event.button !== 0 || this.gesture) return;
    this.canvas.setPointerCapture(event.pointerId);
    const at = this.local(event);
    this.gesture = { pointer: event.pointerId, before: this.ink, last: at, stroke: null };
    if (this.erasing) {
      this.ink = erase(this.ink, at, at);
    } else {
      this.gesture.stroke = [at];
      this.ink = [...this.ink, this.gesture.stroke];
    }
    this.ring(event);
    this.refresh();
  }

  move(event) {
    this.ring(event);
    if (this.gesture?.pointer !== event.pointerId) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) this.extend(this.local(each));
    this.schedule();
  }

  extend(at) {
    const { last, stroke } = this.gesture;
    if (Math.hypot(at[0] - last[0], at[1] - last[1]) < RAW_STEP) return;
    if (stroke) stroke.push(at);
    else this.ink = erase(this.ink, last, at);
    this.gesture.last = at;
  }

  up(event) {
    if (this.gesture?.pointer !== event.pointerId) return;
    const { before, stroke } = this.gesture;
    this.gesture = null;
    const ink = this.ink;
    const changed = stroke || ink.length !== before.length || ink.some((each, i) => each !== before[i]);
    if (changed) {
      this.ink = before;
      this.remember();
      this.commit(ink);
    }
    this.settle();
    this.refresh();
  }

  cancel(event) {
    if (this.gesture?.pointer !== event.pointerId) return;
    this.ink = this.gesture.before;
    this.gesture = null;
    this.settle();
    this.refresh();
  }

  settle() {
    const data = this.pending;
    this.pending = null;
    if (data) this.adopt(data);
  }

  ring(event) {
    const visible = this.erasing && (event.pointerType !== "touch" || this.gesture);
    this.eraser.classList.toggle("off", !visible);
    if (!visible) return;
    const box = this.canvas.getBoundingClientRect();
    const radius = (ERASER / SIDE) * box.width;
    const left = event.clientX - box.left - radius;
    const top = event.clientY - box.top - radius;
    Object.assign(this.eraser.style, {
      width: `${2 * radius}px`,
      height: `${2 * radius}px`,
      transform: `translate(${left}px, ${top}px)`,
    });
  }

  // ---- drawing ---------------------------------------------------------------------------

  paintTone() {
    const probe = element("span", "", this.root);
    probe.style.color = "var(--st-background-color)";
    const [r, g, b] = (getComputedStyle(probe).color.match(/[\d.]+/g) || [255, 255, 255]).map(Number);
    probe.remove();
    this.root.dataset.tone = 0.2126 * r + 0.7152 * g + 0.0722 * b < 128 ? "dark" : "light";
  }

  resize() {
    // Moving to a screen of another density changes no CSS size, so it is watched on its own.
    this.density?.removeEventListener("change", this.onDensity);
    this.density = matchMedia(`(resolution: ${devicePixelRatio}dppx)`);
    this.onDensity = () => this.resize();
    this.density.addEventListener("change", this.onDensity);
    this.canvas.width = Math.max(1, Math.round(this.canvas.clientWidth * devicePixelRatio));
    this.canvas.height = Math.max(1, Math.round(this.canvas.clientHeight * devicePixelRatio));
    this.draw();
  }

  schedule() {
    if (this.frameRequest) return;
    this.frameRequest = requestAnimationFrame(() => {
      this.frameRequest = 0;
      this.draw();
    });
  }

  draw() {
    const { canvas, context: c } = this;
    const style = getComputedStyle(this.root);
    const unit = canvas.width / SIDE;
    const x = (v) => v * unit;
    const y = (v) => canvas.height - v * unit;
    c.clearRect(0, 0, canvas.width, canvas.height);

    c.strokeStyle = style.getPropertyValue("--st-border-color");
    c.lineWidth = Math.max(1, Math.round(devicePixelRatio));
    const middle = Math.round(canvas.width / 2) + (c.lineWidth % 2) / 2;
    c.beginPath();
    c.moveTo(middle, 0);
    c.lineTo(middle, canvas.height);
    c.moveTo(0, middle);
    c.lineTo(canvas.width, middle);
    c.stroke();

    const colour = style.getPropertyValue("--ink");
    c.lineCap = "round";
    c.lineJoin = "round";
    // One path for all strokes, so that crossings of translucent ink do not darken.
    c.globalAlpha = 0.22;
    c.strokeStyle = colour;
    c.lineWidth = 7 * unit;
    c.beginPath();
    for (const stroke of this.ink) {
      c.moveTo(x(stroke[0][0]), y(stroke[0][1]));
      for (const p of stroke.slice(1)) c.lineTo(x(p[0]), y(p[1]));
      // A stroke of one point has no length to paint; a hair of it gets the round caps.
      if (stroke.length === 1) c.lineTo(x(stroke[0][0]) + 0.01, y(stroke[0][1]));
    }
    c.stroke();

    c.globalAlpha = 1;
    c.fillStyle = colour;
    c.beginPath();
    for (const flat of this.gesture ? dataOf(this.ink) : this.strokes) {
      for (let i = 0; i < flat.length; i += 2) {
        c.moveTo(x(flat[i]) + 1.1 * unit, y(flat[i + 1]));
        c.arc(x(flat[i]), y(flat[i + 1]), 1.1 * unit, 0, 2 * Math.PI);
      }
    }
    c.fill();
  }
}

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".dpm-sketch");
  let pad = instances.get(parentElement);
  if (pad?.root !== root) {
    pad?.dispose();
    pad = new Pad(root);
    instances.set(parentElement, pad);
  }
  pad.setStateValue = setStateValue;
  pad.receive(data);
  return () => {
    // Only a removed element is finished with; one that merely gets new data lives on.
    setTimeout(() => {
      if (!root.isConnected) pad.dispose();
    });
  };
}
