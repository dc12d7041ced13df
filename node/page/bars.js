// Phases of starts as bars that can be zoomed and moved.
import { short } from "./format.js";
import { shape } from "./svg.js";

const inMs = (s) => [s.p50_ns, s.p90_ns, s.p99_ns].map((ns) => ns / 1e6);

/** All phases of a timeline with their depth, milliseconds from its beginning, and what they take with others. */
export function phases(timeline, statistics) {
  const all = (timeline.external || []).map((p) => ({
    name: p.name, source: p.source, depth: 0,
    start: (p.start_unix_ns - timeline.begun_unix_ns) / 1e6, end: (p.end_unix_ns - timeline.begun_unix_ns) / 1e6,
  }));
  const add = (spans, depth) => {
    for (const s of spans) {
      const known = statistics.find((k) => k.phase === s.phase);
      all.push({ name: s.phase, source: "microvisor", depth, start: s.start_ns / 1e6, end: s.end_ns / 1e6, percentiles: known && inMs(known) });
      add(s.inside || [], depth + 1);
    }
  };
  add(timeline.timeline.spans, 0);
  return all;
}

/** Phases of many timelines: each as its median, from 0 on. */
export const medians = (statistics) => statistics.map((s) => {
  const percentiles = inMs(s);
  return { name: s.phase, depth: 0, start: 0, end: percentiles[0], reach: percentiles[2], percentiles };
});

const ROW = 22, LEFT = 130, WIDTH = 1000;

/** Bars that can be zoomed and moved, with the mouse and with keys; `range` says what part is seen. */
export class Bars {
  constructor(svg, range) {
    this.svg = svg;
    this.range = range;
    this.list = [];
    svg.addEventListener("wheel", (e) => { e.preventDefault(); this.zoom(e.deltaY < 0 ? 0.8 : 1.25, this.at(e)); }, { passive: false });
    svg.addEventListener("keydown", (e) => this.key(e));
    let last = null;
    svg.addEventListener("pointerdown", (e) => { last = e.clientX; svg.setPointerCapture(e.pointerId); });
    for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => { last = null; });
    svg.addEventListener("pointermove", (e) => {
      if (last === null) return;
      this.move(((last - e.clientX) / svg.clientWidth) * (WIDTH / (WIDTH - LEFT)));
      last = e.clientX;
    });
  }

  show(list) {
    this.list = list;
    this.whole();
  }

  whole() {
    this.from = Math.min(0, ...this.list.map((p) => p.start));
    this.to = Math.max(this.from + 0.001, ...this.list.map((p) => p.reach || p.end));
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
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const act = {
      "+": () => this.zoom(0.8), "=": () => this.zoom(0.8), "-": () => this.zoom(1.25), 0: () => this.whole(),
      ArrowLeft: () => this.move(-0.1), ArrowRight: () => this.move(0.1),
    }[e.key];
    if (act) { e.preventDefault(); act(); }
  }

  draw() {
    const height = ROW * (this.list.length + 1);
    const x = (ms) => LEFT + ((ms - this.from) / (this.to - this.from)) * (WIDTH - LEFT);
    const seen = (ms) => Math.min(WIDTH, Math.max(LEFT, x(ms)));
    const digits = this.to - this.from < 0.1 ? 4 : 2;
    const parts = [];
    for (let i = 0; i <= 5; i += 1) {
      const ms = this.from + ((this.to - this.from) * i) / 5;
      parts.push(shape("line", { class: "grid", x1: x(ms), x2: x(ms), y1: ROW, y2: height }));
      parts.push(shape("text", { x: Math.min(x(ms), WIDTH - 70), y: 15 }, `${ms.toFixed(digits)} ms`));
    }
    this.list.forEach((p, row) => {
      const y = ROW * (row + 1);
      parts.push(shape("text", { x: 6 + 12 * p.depth, y: y + 15 }, short(p.name, 18)));
      const [from, to] = [seen(p.start), seen(p.end)];
      const [p50, p90, p99] = p.percentiles || [];
      const others = p.percentiles ? `; percentiles p50 ${p50.toFixed(3)}, p90 ${p90.toFixed(3)}, p99 ${p99.toFixed(3)} ms` : "";
      if (x(p.end) >= LEFT && x(p.start) <= WIDTH) {
        const bar = shape("rect", { class: p.depth ? "bar inner" : "bar", x: from, y: y + 3, width: Math.max(1.5, to - from), height: ROW - 10 });
        bar.append(shape("title", {}, `${p.name}: ${(p.end - p.start).toFixed(3)} ms${others}`));
        parts.push(bar);
      }
      if (!p.percentiles) return;
      // A whisker as long as 99 of 100 take, with a tick at 50 and at 90.
      const end = seen(p.start + p99);
      if (end > from) parts.push(shape("line", { class: "whisker", x1: from, x2: end, y1: y + 18, y2: y + 18 }));
      for (const at of [p50, p90, p99].map((ms) => x(p.start + ms))) {
        if (at >= LEFT && at <= WIDTH) parts.push(shape("line", { class: "whisker", x1: at, x2: at, y1: y + 15, y2: y + 21 }));
      }
    });
    this.svg.setAttribute("viewBox", `0 0 ${WIDTH} ${height}`);
    this.svg.replaceChildren(...parts);
    this.range.textContent = `${this.from.toFixed(digits)} to ${this.to.toFixed(digits)} ms`;
  }
}
