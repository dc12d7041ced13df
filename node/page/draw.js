// Pictures: phases as bars, networks with their ports.

const SVG = "http://www.w3.org/2000/svg";

function shape(kind, attributes, text) {
  const made = document.createElementNS(SVG, kind);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** All phases of a timeline with their depth, milliseconds from its beginning. */
export function phases(timeline) {
  const all = (timeline.external || []).map((p) => ({
    name: p.name, source: p.source, depth: 0,
    start: (p.start_unix_ns - timeline.begun_unix_ns) / 1e6, end: (p.end_unix_ns - timeline.begun_unix_ns) / 1e6,
  }));
  const add = (spans, depth) => {
    for (const s of spans) {
      all.push({ name: s.phase, source: "microvisor", depth, start: s.start_ns / 1e6, end: s.end_ns / 1e6 });
      add(s.inside || [], depth + 1);
    }
  };
  add(timeline.timeline.spans, 0);
  return all;
}

const ROW = 22, LEFT = 130, WIDTH = 1000;

/** Bars that can be zoomed and moved, with the mouse and with keys. */
export class Bars {
  constructor(svg) {
    this.svg = svg;
    this.list = [];
    svg.addEventListener("wheel", (e) => { e.preventDefault(); this.zoom(e.deltaY < 0 ? 0.8 : 1.25, this.at(e)); }, { passive: false });
    svg.addEventListener("keydown", (e) => this.key(e));
    let last = null;
    svg.addEventListener("pointerdown", (e) => { last = e.clientX; svg.setPointerCapture(e.pointerId); });
    svg.addEventListener("pointerup", () => { last = null; });
    svg.addEventListener("pointermove", (e) => {
      if (last === null) return;
      this.move(-(e.clientX - last) / svg.clientWidth);
      last = e.clientX;
    });
  }

  show(list) {
    this.list = list;
    this.whole();
  }

  whole() {
    this.from = Math.min(0, ...this.list.map((p) => p.start));
    this.to = Math.max(this.from + 0.001, ...this.list.map((p) => p.end));
    this.draw();
  }

  at(e) {
    const box = this.svg.getBoundingClientRect();
    const x = ((e.clientX - box.left) / box.width) * WIDTH;
    return Math.min(1, Math.max(0, (x - LEFT) / (WIDTH - LEFT)));
  }

  zoom(by, around = 0.5) {
    const middle = this.from + (this.to - this.from) * around;
    const span = Math.max(0.001, (this.to - this.from) * by);
    this.from = middle - span * around;
    this.to = this.from + span;
    this.draw();
  }

  move(by) {
    const step = (this.to - this.from) * by;
    this.from += step;
    this.to += step;
    this.draw();
  }

  key(e) {
    const act = {
      "+": () => this.zoom(0.8), "=": () => this.zoom(0.8), "-": () => this.zoom(1.25), 0: () => this.whole(),
      ArrowLeft: () => this.move(-0.1), ArrowRight: () => this.move(0.1),
    }[e.key];
    if (act) { e.preventDefault(); act(); }
  }

  draw() {
    const height = ROW * (this.list.length + 1);
    const x = (ms) => LEFT + ((ms - this.from) / (this.to - this.from)) * (WIDTH - LEFT);
    const parts = [];
    for (let i = 0; i <= 5; i += 1) {
      const ms = this.from + ((this.to - this.from) * i) / 5;
      parts.push(shape("text", { x: Math.min(x(ms), WIDTH - 60), y: 15 }, `${ms.toFixed(2)} ms`));
    }
    this.list.forEach((p, row) => {
      const y = ROW * (row + 1);
      const left = Math.max(LEFT, x(p.start)), right = Math.min(WIDTH, x(p.end));
      parts.push(shape("text", { x: 6 + 12 * p.depth, y: y + 15 }, p.name));
      if (right >= LEFT && left <= WIDTH) {
        const bar = shape("rect", { class: p.depth ? "bar inner" : "bar", x: left, y: y + 3, width: Math.max(1.5, right - left), height: ROW - 6 });
        bar.append(shape("title", {}, `${p.name}: ${(p.end - p.start).toFixed(3)} ms`));
        parts.push(bar);
      }
    });
    this.svg.setAttribute("viewBox", `0 0 ${WIDTH} ${height}`);
    this.svg.replaceChildren(...parts);
  }
}

/** Networks as beams, ports hanging from them; links of bonds under their bond. */
export function picture(svg, networks, ports, nameOf) {
  const parts = [];
  let y = 20;
  for (const network of networks) {
    const own = ports.filter((p) => p.segment === network.name);
    parts.push(shape("rect", { class: "net", x: 10, y, width: 980, height: 26, rx: 5 }));
    parts.push(shape("text", { class: "net-name", x: 20, y: y + 18 }, `${network.name} ${network.subnet || ""}`));
    let deepest = 0;
    own.forEach((port, i) => {
      const column = i % 6, line = Math.floor(i / 6);
      const x = 20 + column * 162, top = y + 50 + line * 100;
      const links = ports.filter((p) => p.link_of === port.name);
      parts.push(shape("line", { class: `wire ${port.up ? "up" : "down"}`, x1: x + 72, y1: y + 26, x2: x + 72, y2: top }));
      parts.push(shape("rect", { class: "box", x, y: top, width: 145, height: 40, rx: 4 }));
      parts.push(shape("text", { x: x + 6, y: top + 16 }, nameOf(port).slice(0, 22)));
      parts.push(shape("text", { x: x + 6, y: top + 32 }, `${port.kind}, ${port.up ? "up" : "down"}`));
      links.forEach((link, n) => {
        parts.push(shape("text", { x: x + 6, y: top + 56 + 14 * n }, `└ ${link.device} ${link.up ? "up" : "down"}`));
      });
      deepest = Math.max(deepest, line * 100 + 100 + 14 * links.length);
    });
    y += 40 + (own.length ? deepest : 0);
  }
  svg.setAttribute("viewBox", `0 0 1000 ${Math.max(60, y)}`);
  svg.replaceChildren(...parts);
}
