// What happens on the node, newest first: as it happens, and as far back as it is kept.
import { get } from "./api.js";
import { attempt, button, h, input, put } from "./dom.js";
import { moment, plural } from "./format.js";
import { Grid } from "./grid.js";
import { href, set } from "./route.js";

const PAGE = 500, KEPT = 10000;

/** More about an event, in words. */
export const about = (e) => {
  const d = e.detail;
  if (d === undefined || d === null) return "";
  return typeof d === "object" ? Object.entries(d).map(([k, v]) => `${k}: ${typeof v === "object" ? JSON.stringify(v) : v}`).join(", ") : String(d);
};
const tone = (e) => (/failed|degraded|ended|unhealthy/.test(e.kind) ? "bad" : /ready|started|healthy/.test(e.kind) ? "good" : "");

/** An event as cells of a table. */
export const eventRow = (e) => [moment(e.at_unix_ns), { words: e.kind, tone: tone(e) }, e.subject, about(e)];

export class Events {
  constructor() {
    this.title = "Events";
    this.list = [];
    this.filter = input({ type: "search", placeholder: "Filter: kind, name, reason", "aria-label": "Filter", oninput: () => set({ q: this.filter.value }) });
    this.count = h("output", { class: "count" });
    this.older = button("Older events", () => this.more());
    this.grid = new Grid({
      name: "events", label: "Events", key: (e) => String(e.seq),
      columns: [
        { id: "when", title: "When", text: (e) => moment(e.at_unix_ns) }, { id: "kind", title: "What", text: (e) => e.kind, tone },
        { id: "subject", title: "Whom", text: (e) => e.subject }, { id: "about", title: "More", text: about },
      ],
      open: (e) => { if (e.kind.startsWith("instance.")) location.hash = href("instances", { q: `name:${e.subject}`, open: e.subject }); },
    });
    this.empty = h("p", { class: "empty" }, "No event fits the filter.");
    this.element = h("section", { class: "list", "aria-label": "Events" }, h("div", { class: "bar" }, this.filter, this.count, this.older), h("div", { class: "beside" }, h("div", { class: "pane" }, this.grid.element, this.empty)));
  }

  show(at) {
    const q = at.get("q") || "";
    if (this.filter.value !== q) this.filter.value = q;
    this.words = q.toLowerCase().split(/\s+/).filter(Boolean);
    if (this.read) this.draw(); else this.begin();
  }

  begin() {
    return attempt(async () => {
      this.list = (await get(`/v1/events?last=${PAGE}`)).reverse();
      this.read = true;
      this.draw();
    })();
  }

  /** After an outage some may be missing. */
  again() { this.begin(); }

  happened(event) {
    if (!this.read || event.seq <= (this.list[0]?.seq ?? 0)) return;
    this.list.unshift(event);
    this.list.length = Math.min(this.list.length, KEPT);
    this.frame ||= setTimeout(() => { this.frame = 0; this.draw(); }, 200);
  }

  async more() {
    const last = this.list.at(-1);
    if (!last) return;
    const older = (await get(`/v1/events?last=${PAGE}&before=${last.seq}`)).reverse();
    this.list.push(...older);
    this.older.hidden = older.length < PAGE || this.list.length >= KEPT;
    this.draw();
  }

  draw() {
    if (!this.element.isConnected) return;
    const fits = (e) => { const text = `${e.kind} ${e.subject} ${about(e)}`.toLowerCase(); return this.words.every((w) => text.includes(w)); };
    const list = this.words.length ? this.list.filter(fits) : this.list.slice();
    this.grid.show(list);
    this.empty.hidden = list.length > 0;
    put(this.count, plural(list.length, "event"));
  }
}
