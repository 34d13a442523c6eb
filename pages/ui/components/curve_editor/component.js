const SVG = "http://www.w3.org/2000/svg";
const DASHES = ["", "8 4", "2 3", "11 3 2 3", "15 4", "7 2 2 2 2 2", "4 4", "2 6"];
const SNR_TOP = 12;
const LOG_BETA_MIN = -5;
const MAX_HANDLES = 12;
const MIN_HANDLES = 2;
const MIN_GAP = 0.002;
const MAX_VERTICES = 400;
const FAR = 60; // stands for infinity on the log-SNR axis: well outside the frame
const FLOOR = -12; // stands for log10 0 on the β axis
const SLACK = 4; // keeps lines and step dots lying on the edge of the frame whole
const MARGIN = { top: 12, right: 18, bottom: 30 };

const instances = new WeakMap();

const clamp = (x, low, high) => Math.min(high, Math.max(low, x));
const finite = (x) => typeof x === "number" && Number.isFinite(x);

function html(name, className, parent) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (parent) parent.append(node);
  return node;
}

function svg(name, attributes, parent) {
  const node = document.createElementNS(SVG, name);
  set(node, attributes);
  if (parent) parent.append(node);
  return node;
}

function set(node, attributes) {
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
}

function symbol(parent, letter) {
  parent.append(letter);
  html("sub", "", parent).textContent = "t";
}

const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

function small(x) {
  if (x === 0 || x === 1) return String(x);
  if (x >= 0.001) return x > 0.999 ? x.toFixed(5) : x.toPrecision(3);
  const [digits, power] = x.toExponential(1).split("e");
  return `${digits}·10${[...String(Number(power))].map((c) => SUPERSCRIPT[c]).join("")}`;
}

const sigmoid = (x) => (x < 0 ? Math.exp(x) / (1 + Math.exp(x)) : 1 / (1 + Math.exp(-x)));

/** Piecewise linear in log10 β over u, constant beyond the ends. handles: [{u, v}], v = log10 β. */
function interpolate(handles, u) {
  const last = handles.length - 1;
  if (u <= handles[0].u) return handles[0].v;
  if (u >= handles[last].u) return handles[last].v;
  let i = 1;
  while (handles[i].u < u) i += 1;
  const a = handles[i - 1];
  const b = handles[i];
  return a.v + ((b.v - a.v) * (u - a.u)) / (b.u - a.u);
}

/** handles → {beta: [T], logSnr: [T]}; ᾱ_t is the running product of 1 − β. */
function scheduleOf(handles, T) {
  const beta = new Float64Array(T);
  const logSnr = new Float64Array(T);
  let sum = 0;
  for (let i = 0; i < T; i += 1) {
    beta[i] = 10 ** interpolate(handles, T > 1 ? i / (T - 1) : 0);
    sum += Math.log1p(-beta[i]);
    logSnr[i] = sum - Math.log(-Math.expm1(sum));
  }
  return { beta, logSnr };
}

/** A null log-SNR says "infinite" but not which way: the running product of 1 − β tells. */
function received(curve) {
  const beta = Float64Array.from(curve.beta, (x) => (finite(x) ? x : 0));
  let sum = 0;
  const logSnr = Float64Array.from(curve.log_snr, (x, i) => {
    sum += Math.log1p(-clamp(beta[i] || 0, 0, 1));
    if (finite(x)) return x;
    return sum < -0.5 ? -Infinity : Infinity;
  });
  return { beta, logSnr };
}

/** Server points → handles whose first and last sit at u = 0 and 1 without changing the curve. */
function handlesOf(points) {
  const handles = points
    .filter((p) => Array.isArray(p) && finite(p[0]) && finite(p[1]))
    .map(([u, beta]) => ({ u: clamp(u, 0, 1), v: clamp(Math.log10(Math.max(beta, 1e-12)), LOG_BETA_MIN, 0) }))
    .sort((a, b) => a.u - b.u);
  if (!handles.length) return null;
  if (handles[0].u > 0) handles.unshift({ ...handles[0], u: 0 });
  if (handles[handles.length - 1].u < 1) handles.push({ ...handles[handles.length - 1], u: 1 });
  return handles;
}

/** Step indices to draw: all of them, or about 400 evenly spaced with both ends. */
function verticesOf(T) {
  const n = Math.min(T, MAX_VERTICES);
  return Array.from({ length: n }, (_, i) => (n > 1 ? Math.round((i * (T - 1)) / (n - 1)) : 0));
}

function stepTicks(T, width) {
  const room = clamp(Math.floor(width / 64), 1, 6);
  let size = 1;
  for (let scale = 1; (T - 1) / size > room; scale *= 10) {
    for (const factor of [1, 2, 5]) {
      size = factor * scale;
      if ((T - 1) / size <= room) break;
    }
  }
  const ticks = [1];
  for (let t = size; t < T; t += size) {
    if (t - 1 >= 0.6 * size && T - t >= 0.6 * size) ticks.push(t);
  }
  if (T > 1) ticks.push(T);
  return ticks;
}

class Plot {
  constructor(parent, kind, left, pad) {
    this.kind = kind;
    this.left = left;
    this.pad = pad; // between the tick labels and the frame
    this.panel = html("div", "panel", parent);
    this.heading = html("div", "heading", this.panel);
    this.frame = html("div", `frame ${kind}`, this.panel);
    this.svg = svg("svg", {}, this.frame);
    this.axes = svg("g", { "aria-hidden": "true" }, this.svg);
    // A nested svg clips its content without an id that two instances could share.
    this.window = svg("svg", { overflow: "hidden", "aria-hidden": "true" }, this.svg);
    this.lines = svg("g", {}, this.window);
    this.marks = svg("g", { "aria-hidden": "true" }, this.svg);
    this.paths = new Map();
  }

  measure() {
    this.width = this.frame.clientWidth;
    this.height = this.frame.clientHeight;
    this.x0 = this.left;
    this.x1 = Math.max(this.x0 + 10, this.width - MARGIN.right);
    this.y0 = MARGIN.top;
    this.y1 = Math.max(this.y0 + 10, this.height - MARGIN.bottom);
    set(this.window, {
      x: this.x0 - SLACK,
      y: this.y0 - SLACK,
      width: this.x1 - this.x0 + 2 * SLACK,
      height: this.y1 - this.y0 + 2 * SLACK,
    });
    this.lines.setAttribute("transform", `translate(${SLACK - this.x0} ${SLACK - this.y0})`);
  }

  x(u) {
    return this.x0 + u * (this.x1 - this.x0);
  }

  /** value: log-SNR in nats, or log10 β. */
  y(value) {
    const share = this.kind === "snr" ? (SNR_TOP - value) / (2 * SNR_TOP) : value / LOG_BETA_MIN;
    return this.y0 + share * (this.y1 - this.y0);
  }

  u(x) {
    return clamp((x - this.x0) / (this.x1 - this.x0), 0, 1);
  }

  logBeta(y) {
    return clamp((LOG_BETA_MIN * (y - this.y0)) / (this.y1 - this.y0), LOG_BETA_MIN, 0);
  }

  value(curve, i) {
    if (this.kind === "snr") return clamp(curve.logSnr[i], -FAR, FAR);
    return curve.beta[i] > 0 ? Math.max(Math.log10(curve.beta[i]), FLOOR) : FLOOR;
  }

  drawAxes(T) {
    this.axes.replaceChildren();
    this.stepLabels = [];
    const rows =
      this.kind === "snr"
        ? [-12, -8, -4, 0, 4, 8, 12].map((v) => [v, String(v).replace("-", "−")])
        : [0, -1, -2, -3, -4, -5].map((v) => [v, v ? (10 ** v).toFixed(-v) : "1"]);
    for (const [value, label] of rows) {
      const y = Math.round(this.y(value)) + 0.5;
      const zero = this.kind === "snr" && value === 0;
      svg("line", { class: zero ? "grid zero" : "grid", x1: this.x0, x2: this.x1, y1: y, y2: y }, this.axes);
      svg("text", { class: "tick", x: this.x0 - this.pad, y: y + 4, "text-anchor": "end" }, this.axes).textContent = label;
    }
    for (const t of stepTicks(T, this.x1 - this.x0)) {
      const x = this.x(T > 1 ? (t - 1) / (T - 1) : 0.5);
      svg("line", { class: "grid", x1: x, x2: x, y1: this.y1, y2: this.y1 + 5 }, this.axes);
      const text = svg("text", { class: "tick", x, y: this.y1 + 20, "text-anchor": "middle" }, this.axes);
      text.textContent = t === 1 ? "t = 1" : String(t);
      this.stepLabels.push({ text, x, half: text.textContent.length * 3.6 });
    }
  }
}

class Editor {
  constructor(root) {
    this.root = root;
    this.curves = [];
    this.slots = new Map();
    this.handles = null;
    this.T = 2;
    this.at = null; // the step (from 0) under the crosshair
    this.drag = null;
    this.sent = []; // edits on their way to the server and back
    this.told = null; // the points the server sent last
    this.knobs = [];
    this.frameRequest = 0;
    this.keyTimer = 0;
    this.build();
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.snr.frame);
    this.observer.observe(this.beta.frame);
  }

  build() {
    this.root.replaceChildren();
    const plots = html("div", "plots", this.root);
    this.snr = new Plot(plots, "snr", 44, 8);
    html("b", "", this.snr.heading).textContent = "Signal left";
    this.snr.heading.append(", log signal-to-noise, nats");
    this.beta = new Plot(plots, "beta", 74, 15);
    html("b", "", this.beta.heading).textContent = "Noise added";
    this.beta.heading.append(" at each step, ");
    symbol(this.beta.heading, "β");
    this.plots = [this.snr, this.beta];

    this.skeleton = svg("polyline", { class: "skeleton" });
    this.beta.lines.append(this.skeleton);
    this.knobLayer = svg("g", {}, this.beta.svg);
    set(this.snr.svg, { tabindex: "0", role: "img" });
    set(this.beta.svg, { role: "group" });
    this.snr.svg.setAttribute("aria-label", "Log signal-to-noise of each schedule; left and right arrow keys read one step");
    this.beta.svg.setAttribute("aria-label", "Beta of each schedule, on a logarithmic axis");

    const readout = html("div", "readout", this.root);
    const head = html("div", "head", readout);
    this.hint = html("span", "hint", head);
    this.now = html("span", "at off", head);
    this.entries = html("div", "entries", readout);

    for (const plot of this.plots) {
      plot.svg.addEventListener("pointermove", (event) => this.hover(plot, event));
      plot.svg.addEventListener("pointerdown", (event) => this.hover(plot, event));
      plot.svg.addEventListener("pointerleave", (event) => {
        // A finger leaves when it lifts: the reading it asked for stays.
        if (event.pointerType !== "touch" && !this.drag) this.read(null);
      });
    }
    this.snr.svg.addEventListener("keydown", (event) => this.walk(event));
    this.snr.svg.addEventListener("blur", () => this.read(null));
    this.beta.svg.addEventListener("dblclick", (event) => this.double(event));
    this.beta.svg.addEventListener("pointerup", (event) => this.tap(event));
  }

  dispose() {
    this.observer.disconnect();
    cancelAnimationFrame(this.frameRequest);
    clearTimeout(this.keyTimer);
  }

  // ---- data ------------------------------------------------------------------------------

  receive(data) {
    this.paintTone();
    if (this.drag || this.keyTimer) this.pending = data;
    else this.adopt(data);
  }

  settle() {
    const data = this.pending;
    this.pending = null;
    if (data) this.adopt(data);
  }

  adopt(data) {
    this.T = Math.max(1, data.T);
    const shown = new Set(data.curves.map((curve) => curve.name));
    for (const name of [...this.slots.keys()]) if (!shown.has(name)) this.slots.delete(name);
    this.curves = data.curves.map((curve) => ({
      name: curve.name,
      label: curve.label,
      slot: this.slotOf(curve),
      ...received(curve),
    }));
    this.adoptPoints(data);
    this.custom = this.curves.find((curve) => curve.name === "custom");
    if (!this.custom) this.handles = null;
    this.recompute();
    if (this.at !== null) this.at = Math.min(this.at, this.T - 1);
    this.legend();
    this.resize();
  }

  /** Colour belongs to the schedule, not to its place in the list. */
  slotOf(curve) {
    if (Number.isInteger(curve.slot)) this.slots.set(curve.name, curve.slot % DASHES.length);
    if (!this.slots.has(curve.name)) {
      const taken = new Set(this.slots.values());
      const free = DASHES.findIndex((_, i) => !taken.has(i));
      this.slots.set(curve.name, Math.max(0, free));
    }
    return this.slots.get(curve.name);
  }

  /** Take the server's points unless they are only an echo of an edit made here since. */
  adoptPoints(data) {
    if (!data.points) {
      this.handles = null;
      this.told = null;
      this.sent = [];
      return;
    }
    const points = JSON.stringify(data.points);
    const told = `${data.rev} ${points}`;
    const sameRev = this.told !== null && this.told.startsWith(`${data.rev} `);
    const echo = sameRev ? this.sent.indexOf(points) : -1;
    const unchanged = told === this.told && this.handles;
    this.told = told;
    if (echo >= 0) this.sent.splice(0, echo + 1);
    if (echo >= 0 || unchanged) return;
    this.sent = [];
    this.handles = handlesOf(data.points);
  }

  recompute() {
    if (this.handles) Object.assign(this.custom, scheduleOf(this.handles, this.T));
  }

  commit() {
    const points = this.handles.map(({ u, v }) => [Math.round(u * 1e4) / 1e4, Number((10 ** v).toPrecision(5))]);
    this.sent.push(JSON.stringify(points));
    this.setStateValue("points", points);
  }

  // ---- drawing ---------------------------------------------------------------------------

  paintTone() {
    const probe = html("span", "", this.root);
    probe.style.color = "var(--st-background-color)";
    const [r, g, b] = (getComputedStyle(probe).color.match(/[\d.]+/g) || [255, 255, 255]).map(Number);
    probe.remove();
    this.root.dataset.tone = 0.2126 * r + 0.7152 * g + 0.0722 * b < 128 ? "dark" : "light";
  }

  resize() {
    for (const plot of this.plots) {
      plot.measure();
      plot.drawAxes(this.T);
    }
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
    for (const plot of this.plots) this.drawLines(plot);
    this.drawHandles();
    for (const plot of this.plots) this.drawMarks(plot);
    this.drawReadout();
  }

  uOf(i) {
    return this.T > 1 ? i / (this.T - 1) : 0.5;
  }

  drawLines(plot) {
    const steps = verticesOf(this.T);
    const names = new Set(this.curves.map((curve) => curve.name));
    for (const [name, node] of plot.paths) {
      if (!names.has(name)) {
        node.remove();
        plot.paths.delete(name);
      }
    }
    for (const curve of this.curves) {
      let group = plot.paths.get(curve.name);
      if (!group) {
        group = svg("g", { "data-name": curve.name }, plot.lines);
        svg("path", { class: "curve" }, group);
        svg("g", { class: "steps" }, group);
        plot.paths.set(curve.name, group);
      }
      const xy = steps.map((i) => [plot.x(this.uOf(i)).toFixed(1), plot.y(plot.value(curve, i)).toFixed(1)]);
      set(group.firstChild, {
        d: `M${xy.map((p) => p.join(" ")).join("L")}`,
        stroke: `var(--c${curve.slot})`,
        "stroke-dasharray": DASHES[curve.slot] || "none",
      });
      group.classList.toggle("faded", Boolean(this.only) && this.only !== curve.name);
      // With few steps the line between them is only a guide: show where the steps are.
      const dots = this.T <= 24 ? xy : [];
      const layer = group.lastChild;
      while (layer.childElementCount > dots.length) layer.lastChild.remove();
      while (layer.childElementCount < dots.length) svg("circle", { r: 3 }, layer);
      dots.forEach(([cx, cy], i) => set(layer.children[i], { cx, cy, fill: `var(--c${curve.slot})` }));
      if (curve === this.custom) plot.lines.append(group);
    }
  }

  drawHandles() {
    const handles = this.handles || [];
    this.root.classList.toggle("editable", handles.length > 0);
    while (this.knobs.length > handles.length) this.knobs.pop().remove();
    while (this.knobs.length < handles.length) this.knobs.push(this.knob(this.knobs.length));
    const plot = this.beta;
    const colour = this.custom ? `var(--c${this.custom.slot})` : "none";
    this.root.style.setProperty("--custom", colour);
    handles.forEach(({ u, v }, i) => {
      const node = this.knobs[i];
      const step = Math.round(1 + u * (this.T - 1));
      set(node, {
        transform: `translate(${plot.x(u).toFixed(1)} ${plot.y(v).toFixed(1)})`,
        "aria-label": `Point ${i + 1} of ${handles.length} of the custom schedule`,
        "aria-valuenow": v.toFixed(3),
        "aria-valuetext": `step ${step} of ${this.T}, beta ${Number((10 ** v).toPrecision(3))}`,
      });
      node.children[2].setAttribute("stroke", colour);
      node.classList.toggle("held", this.drag?.index === i);
    });
    set(this.skeleton, {
      stroke: colour,
      points: handles.map(({ u, v }) => `${plot.x(u).toFixed(1)},${plot.y(v).toFixed(1)}`).join(" "),
    });
  }

  drawMarks(plot) {
    plot.marks.replaceChildren();
    for (const { text } of plot.stepLabels) text.classList.remove("off");
    if (this.at === null) return;
    const x = plot.x(this.uOf(this.at));
    svg("line", { class: "cross", x1: x, x2: x, y1: plot.y0, y2: plot.y1 }, plot.marks);
    for (const curve of this.curves) {
      const y = plot.y(plot.value(curve, this.at));
      if (y < plot.y0 - 1 || y > plot.y1 + 1) continue;
      svg("circle", { class: "mark", cx: x, cy: y, r: 4, fill: `var(--c${curve.slot})` }, plot.marks);
    }
    const label = `t = ${this.at + 1}`;
    const half = 5 + label.length * 3.6;
    const middle = clamp(x, half, plot.width - half);
    for (const tick of plot.stepLabels) {
      tick.text.classList.toggle("off", Math.abs(tick.x - middle) < half + tick.half);
    }
    const text = svg("text", { class: "now", x: middle, y: plot.y1 + 20, "text-anchor": "middle" }, plot.marks);
    text.textContent = label;
  }

  legend() {
    this.hint.textContent = this.handles
      ? "Point at a plot to read one step. Drag the round points; double-click adds or removes one."
      : "Point at a plot to read one step.";
    this.rows = this.curves.map((curve) => {
      const entry = html("div", "entry");
      entry.dataset.name = curve.name;
      const sample = svg("svg", { width: 30, height: 10, "aria-hidden": "true" }, entry);
      svg(
        "line",
        {
          x1: 0, x2: 30, y1: 5, y2: 5, class: "curve",
          stroke: `var(--c${curve.slot})`, "stroke-dasharray": DASHES[curve.slot] || "none",
        },
        sample,
      );
      const label = html("span", "label", entry);
      label.textContent = curve.label;
      label.title = curve.label;
      const values = ["β", "ᾱ"].map((letter) => {
        const cell = html("span", "value", entry);
        symbol(html("i", "", cell), letter);
        return html("span", "", cell);
      });
      entry.addEventListener("pointerenter", () => this.highlight(curve.name));
      entry.addEventListener("pointerleave", () => this.highlight(null));
      return { curve, entry, values };
    });
    this.entries.replaceChildren(...this.rows.map((row) => row.entry));
    if (this.only && !this.curves.some((curve) => curve.name === this.only)) this.only = null;
  }

  highlight(name) {
    this.only = name;
    this.schedule();
  }

  drawReadout() {
    const reading = this.at !== null;
    this.hint.classList.toggle("off", reading);
    this.now.classList.toggle("off", !reading);
    this.now.textContent = reading ? `t = ${this.at + 1} of ${this.T}` : "";
    for (const { curve, values } of this.rows) {
      for (const value of values) value.parentNode.classList.toggle("off", !reading);
      if (!reading) continue;
      values[0].textContent = small(curve.beta[this.at]);
      values[1].textContent = small(sigmoid(curve.logSnr[this.at]));
    }
  }

  // ---- reading ---------------------------------------------------------------------------

  hover(plot, event) {
    if (this.drag) return;
    const { x } = this.local(plot, event);
    this.read(Math.round(plot.u(x) * (this.T - 1)));
  }

  read(step) {
    if (step === this.at) return;
    this.at = step;
    this.schedule();
  }

  walk(event) {
    const direction = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!direction) return;
    event.preventDefault();
    event.stopPropagation();
    const from = this.at ?? Math.round((this.T - 1) / 2);
    this.read(clamp(from + direction * (event.shiftKey ? 10 : 1), 0, this.T - 1));
  }

  local(plot, event) {
    const box = plot.svg.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  // ---- editing ---------------------------------------------------------------------------

  knob(index) {
    const node = svg("g", { class: "handle", tabindex: "0", role: "slider", "data-index": index }, this.knobLayer);
    set(node, { "aria-valuemin": LOG_BETA_MIN, "aria-valuemax": 0, "aria-orientation": "vertical" });
    svg("circle", { class: "reach", r: 16 }, node);
    svg("circle", { class: "ring", r: 11 }, node);
    svg("circle", { class: "knob", r: 6.5 }, node);
    node.addEventListener("pointerdown", (event) => this.grab(index, event));
    // Browsers do not reliably apply touch-action inside an svg and would scroll the page instead.
    node.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
    node.addEventListener("pointermove", (event) => this.pull(event));
    node.addEventListener("pointerup", (event) => this.release(event));
    node.addEventListener("pointercancel", (event) => this.release(event));
    node.addEventListener("keydown", (event) => this.key(index, event));
    node.addEventListener("blur", () => this.read(null));
    return node;
  }

  grab(index, event) {
    if (event.button !== 0 || this.drag) return;
    if (this.keyTimer) this.rest();
    const node = this.knobs[index];
    node.setPointerCapture(event.pointerId);
    const { x, y } = this.local(this.beta, event);
    const { u, v } = this.handles[index];
    // The handle keeps its offset to the finger, so that taking hold of it does not move it.
    this.drag = {
      index,
      pointer: event.pointerId,
      dx: this.beta.x(u) - x,
      dy: this.beta.y(v) - y,
      before: this.handles.map((handle) => ({ ...handle })),
      moved: false,
    };
    this.at = Math.round(u * (this.T - 1));
    this.schedule();
  }

  pull(event) {
    if (this.drag?.pointer !== event.pointerId) return;
    const { x, y } = this.local(this.beta, event);
    const { index, dx, dy, before } = this.drag;
    const moved =
      Math.hypot(x + dx - this.beta.x(before[index].u), y + dy - this.beta.y(before[index].v)) > 2;
    if (!moved && !this.drag.moved) return;
    this.drag.moved = true;
    this.place(index, this.beta.u(x + dx), this.beta.logBeta(y + dy));
  }

  release(event) {
    if (this.drag?.pointer !== event.pointerId) return;
    const { moved, before } = this.drag;
    this.drag = null;
    if (event.type === "pointercancel") {
      this.handles = before;
      this.recompute();
    } else if (moved) {
      this.commit();
    }
    this.settle();
    this.schedule();
  }

  place(index, u, v) {
    const handle = this.handles[index];
    const last = this.handles.length - 1;
    if (index > 0 && index < last) {
      handle.u = clamp(u, this.handles[index - 1].u + MIN_GAP, this.handles[index + 1].u - MIN_GAP);
    }
    handle.v = clamp(v, LOG_BETA_MIN, 0);
    this.at = Math.round(handle.u * (this.T - 1));
    this.recompute();
    this.schedule();
  }

  key(index, event) {
    if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      event.stopPropagation();
      this.remove(index);
      return;
    }
    const fine = event.shiftKey ? 0.1 : 1;
    const move = {
      ArrowLeft: [-0.01 * fine, 0],
      ArrowRight: [0.01 * fine, 0],
      ArrowUp: [0, 0.02 * fine],
      ArrowDown: [0, -0.02 * fine],
      PageUp: [0, 0.2],
      PageDown: [0, -0.2],
    }[event.key];
    if (!move || this.drag) return;
    event.preventDefault();
    event.stopPropagation();
    const { u, v } = this.handles[index];
    this.place(index, u + move[0], v + move[1]);
    // A held key repeats: the server hears of it once, when the keys rest.
    clearTimeout(this.keyTimer);
    this.keyTimer = setTimeout(() => this.rest(), 250);
  }

  rest() {
    clearTimeout(this.keyTimer);
    this.keyTimer = 0;
    this.commit();
    this.settle();
  }

  /** Fingers do not reliably produce dblclick, so two quick taps are counted here. */
  tap(event) {
    if (event.pointerType !== "touch") return;
    const previous = this.lastTap;
    this.lastTap = { time: event.timeStamp, x: event.clientX, y: event.clientY };
    if (!previous || event.timeStamp - previous.time > 350) return;
    if (Math.hypot(event.clientX - previous.x, event.clientY - previous.y) > 24) return;
    this.lastTap = null;
    this.double(event);
  }

  double(event) {
    // After two taps some browsers send dblclick too.
    if (!this.handles || event.timeStamp - (this.lastDouble ?? -1000) < 400) return;
    this.lastDouble = event.timeStamp;
    event.preventDefault();
    const knob = event.target.closest(".handle");
    if (knob) this.remove(Number(knob.dataset.index));
    else this.add(this.local(this.beta, event));
  }

  add({ x, y }) {
    const plot = this.beta;
    if (this.handles.length >= MAX_HANDLES) return;
    if (x < plot.x0 || x > plot.x1 || y < plot.y0 - 8 || y > plot.y1 + 8) return;
    const u = plot.u(x);
    const i = this.handles.findIndex((handle) => handle.u > u);
    if (i < 1 || u - this.handles[i - 1].u < MIN_GAP || this.handles[i].u - u < MIN_GAP) return;
    const onCurve = interpolate(this.handles, u);
    const v = Math.abs(plot.y(onCurve) - y) < 10 ? onCurve : plot.logBeta(y);
    this.handles.splice(i, 0, { u, v });
    this.edited(i);
  }

  remove(index) {
    if (this.drag || this.handles.length <= MIN_HANDLES) return;
    this.handles.splice(index, 1);
    this.handles[0].u = 0;
    this.handles[this.handles.length - 1].u = 1;
    this.edited(Math.min(index, this.handles.length - 1));
  }

  edited(focus) {
    clearTimeout(this.keyTimer);
    this.keyTimer = 0;
    this.recompute();
    this.draw();
    this.knobs[focus].focus({ preventScroll: true });
    this.commit();
    this.settle();
  }
}

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".dpm-curve");
  let editor = instances.get(parentElement);
  if (editor?.root !== root) {
    editor?.dispose();
    editor = new Editor(root);
    instances.set(parentElement, editor);
  }
  editor.setStateValue = setStateValue;
  editor.receive(data);
  return () => {
    // Only a removed element is finished with; one that merely gets new data lives on.
    setTimeout(() => {
      if (!root.isConnected) editor.dispose();
    });
  };
}
