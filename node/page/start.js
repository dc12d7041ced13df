// How an instance came to be: its last start, phase by phase, beside what others take.
import { getOr, of } from "./api.js";
import { attempt, button, fill, h, table } from "./dom.js";
import { moment } from "./format.js";
import { Bars, phases } from "./bars.js";
import { shape } from "./svg.js";

/** A picture of bars with its buttons. */
export function barsBox(label, note) {
  const svg = shape("svg", { class: "zooms", role: "img", tabindex: "0", "aria-label": label });
  const range = h("output"), bars = new Bars(svg, range);
  const tools = h("p", { class: "tools" }, button("Zoom in", () => bars.zoom(0.8)), button("Zoom out", () => bars.zoom(1.25)), button("All", () => bars.whole()), range, h("small", {}, note));
  return { bars, element: h("div", {}, tools, h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": label }, svg)) };
}

export class Start {
  constructor() {
    this.title = "Start";
    this.words = h("p");
    this.picture = barsBox("Phases of the start as bars; the table below says the same", "Keys: + − ← → 0. The line under a bar reaches the 99th percentile, with ticks at 50 and 90.");
    this.table = table("Phases of the start", ["Phase", "Source", "Begins, ms", "Takes, ms", "p50", "p90", "p99"]);
    this.element = h("div", {}, this.words, this.picture.element, this.table.element);
    this.look = attempt(() => this.read());
  }

  show(i, fresh) {
    this.now = i;
    if (fresh) this.drawn = "";
    this.look();
  }

  async read() {
    const i = this.now;
    const [timeline, statistics] = await Promise.all([getOr(null, of(i.name, "/timeline")), getOr([], "/v1/timelines/statistics?last=100")]);
    if (this.now.name !== i.name) return;
    const list = timeline ? phases(timeline, statistics) : [];
    this.words.textContent = timeline ? `The start of ${moment(timeline.begun_unix_ns)}${timeline.timeline.preparation ? ", with a prepared guest" : ""}` : "It has not started yet.";
    // What is zoomed stays so until there is another timeline.
    const what = timeline ? `${i.name} ${timeline.begun_unix_ns} ${list.length}` : "";
    this.picture.element.hidden = this.table.element.hidden = !timeline;
    if (what !== this.drawn) this.picture.bars.show(list);
    this.drawn = what;
    fill(this.table.body, list.map((p) => [
      "\u00a0\u00a0".repeat(p.depth) + p.name, p.source, p.start.toFixed(3), (p.end - p.start).toFixed(3), ...(p.percentiles || ["–", "–", "–"]).map((v) => (v.toFixed ? v.toFixed(3) : v)),
    ]));
  }
}
