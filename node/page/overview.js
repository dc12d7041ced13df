// The node at a glance: host, switch, instances by state, starts, the last events.
import { get, getOr, link } from "./api.js";
import { history, instances, node, on } from "./data.js";
import { attempt, facts, fill, h, put, table } from "./dom.js";
import { bytes, duration, ms, percent, rate, whole } from "./format.js";
import { medians } from "./bars.js";
import { eventRow } from "./events.js";
import { href } from "./route.js";
import { barsBox } from "./start.js";
import { Spark, shape } from "./svg.js";

const STATES = ["ready", "starting", "paused", "stopping", "waiting", "stopped", "failed"];
const MINUTES = 30, EVENTS = 12, PAST = 1000, MINUTE_NS = 60e9, STARTED = "instance.ready";

const CARDS = [
  { id: "cpu", title: "CPU", list: "cpu", most: 1, words: (u, v) => [percent(v), `of ${u.cpus} processors`] },
  { id: "memory", title: "Memory", list: "memory", most: 1, words: (u, v) => [percent(v), `${bytes((u.memory_mib - u.available_mib) * 2 ** 20)} of ${bytes(u.memory_mib * 2 ** 20)}`] },
  { id: "packets", title: "Packets per second", list: "packets", most: 10, words: (u, v) => [u.switch ? rate(v) : "–", u.switch ? "into the switch" : "the switch does not answer"] },
  { id: "bits", title: "Bits per second", list: "bits", most: 1e4, words: (u, v) => [u.switch ? rate(v) : "–", ""] },
  { id: "drops", title: "Drops per second", list: "drops", most: 1, words: (u, v) => [u.switch ? rate(v) : "–", u.switch ? `${whole(u.switch.dropped)} so far` : ""] },
];

export class Overview {
  constructor() {
    this.title = "Overview";
    this.cards = CARDS.map((card) => ({ ...card, spark: new Spark(`${card.title}, the last minutes`), value: h("b"), more: h("small") }));
    const shown = this.cards.map((c) => h("li", { class: "card", "data-card": c.id }, h("h3", {}, c.title), h("p", {}, c.value, " ", c.more), c.spark.element));
    this.minutes = shape("svg", { class: "minutes", viewBox: `0 0 ${MINUTES * 10} 44`, preserveAspectRatio: "none", role: "img", "aria-label": "Starts in each of the last 30 minutes" });
    this.perMinute = h("b");
    shown.push(h("li", { class: "card", "data-card": "starts" }, h("h3", {}, "Starts per minute"), h("p", {}, this.perMinute, " ", h("small", {}, `the last ${MINUTES} minutes`)), this.minutes));
    this.states = h("ul", { class: "states" });
    this.node = h("dl", { class: "facts" });
    this.prepared = h("ul", { class: "quiet plain-list" });
    this.events = table("Last events", ["When", "What", "Whom", "More"]);
    this.phases = barsBox("Percentiles of each phase as bars; the table says the same", "A bar is the median, the line under it reaches p99. Keys: + − ← → 0.");
    this.table = table("Phases of the last hundred starts", ["Phase", "Seen", "p50, ms", "p90, ms", "p99, ms"]);
    this.none = h("p", { class: "empty", hidden: true }, "No instance has started yet.");
    this.element = h("section", { class: "page overview", "aria-labelledby": "h-overview" },
      h("h2", { id: "h-overview", class: "unseen" }, "Overview"), h("ul", { class: "cards" }, shown), this.states,
      h("div", { class: "columns" },
        h("div", {}, h("h3", {}, "Phases of the last hundred starts"), this.none, this.phases.element, this.table.element),
        h("div", {}, h("h3", {}, "Last events ", h("a", { href: "#/events" }, "all")), this.events.element, h("h3", {}, "Node"), this.node, this.prepared)));
    [this.past, this.started] = [[], []];
    this.look = attempt(() => this.read());
    on("usage", () => this.measured());
    on("instances", () => this.drawStates());
    setInterval(() => { if (this.element.isConnected && link.up && !document.hidden) this.look(); }, 5000);
  }

  show() {
    this.measured();
    this.drawStates();
    attempt(async () => {
      [this.past, this.started] = await Promise.all([get(`/v1/events?last=${EVENTS}`), get(`/v1/events?last=${PAST}&kind=${STARTED}`)]);
      this.drawEvents();
    })();
    this.look();
  }

  happened(event) {
    const add = (list, most) => { list.push(event); if (list.length > most) list.shift(); };
    add(this.past, EVENTS);
    if (event.kind === STARTED) add(this.started, PAST);
    this.frame ||= setTimeout(() => { this.frame = 0; this.drawEvents(); }, 300);
  }

  measured() {
    if (!this.element.isConnected || !node.usage) return;
    for (const c of this.cards) {
      const list = history[c.list], last = list.at(-1);
      const [value, more] = last === undefined && c.list !== "memory" ? ["–", "…"] : c.words(node.usage, last ?? 1 - node.usage.available_mib / node.usage.memory_mib);
      put(c.value, value);
      put(c.more, more);
      c.spark.draw(list, c.most);
    }
    this.drawMinutes();
  }

  drawStates() {
    if (!this.element.isConnected) return;
    const counts = new Map();
    for (const i of instances.values()) counts.set(i.state, (counts.get(i.state) || 0) + 1);
    const entry = (state, n, at) => h("li", {}, h("a", { href: href("instances", at), class: `state-link ${state}` }, h("b", {}, whole(n)), ` ${state}`));
    const made = [entry("instances", instances.size, {}), ...STATES.map((s) => entry(s, counts.get(s) || 0, { state: s }))];
    if (this.states.textContent !== made.map((m) => m.textContent).join("")) this.states.replaceChildren(...made);
  }

  /** Starts by minute, from the events that say that one is ready. */
  drawMinutes() {
    const now = Date.now() * 1e6, counts = Array(MINUTES).fill(0);
    for (const e of this.started) {
      const ago = Math.floor((now - e.at_unix_ns) / MINUTE_NS);
      if (ago >= 0 && ago < MINUTES) counts[MINUTES - 1 - ago] += 1;
    }
    put(this.perMinute, whole(this.started.filter((e) => now - e.at_unix_ns < MINUTE_NS).length));
    const top = Math.max(4, ...counts);
    this.minutes.replaceChildren(...counts.map((n, at) => {
      const high = (42 * n) / top, bar = shape("rect", { class: "bar", x: at * 10 + 1, y: 44 - high, width: 8, height: high });
      bar.append(shape("title", {}, `${n} starts, ${MINUTES - 1 - at} minutes ago`));
      return bar;
    }));
  }

  drawEvents() {
    if (!this.element.isConnected) return;
    fill(this.events.body, this.past.slice(-EVENTS).reverse().map(eventRow));
    this.drawMinutes();
  }

  async read() {
    const [status, statistics] = await Promise.all([get("/v1/status"), getOr([], "/v1/timelines/statistics?last=100")]);
    node.status = status;
    facts(this.node, [
      ["Version", status.version], ["Daemon up", duration(Date.now() / 1000 - status.started_unix_ns / 1e9)], ["Host up", duration(status.host.uptime_s)],
      ["Switch", status.switch ? `process ${status.switch}` : "does not run"], ["Restarts of the switch", status.switch_restarts], ["Prepared guests", `${status.prepared} of ${status.prepared_target}`],
    ]);
    const shapes = (status.prepared_guests || []).map((s) => `${s.ready} of ${s.target} of ${s.image} with ${s.memory_mib} MiB and ${s.devices} ${s.devices === 1 ? "device" : "devices"}, ${bytes(s.resident)} in all: ${s.hits} starts took one, ${s.misses} found none`);
    if (this.prepared.textContent !== shapes.join("")) this.prepared.replaceChildren(...shapes.map((words) => h("li", {}, words)));
    const what = JSON.stringify(statistics);
    if (what === this.drawn) return;
    this.drawn = what;
    this.none.hidden = statistics.length > 0;
    this.phases.element.hidden = this.table.element.hidden = !statistics.length;
    this.phases.bars.show(medians(statistics));
    fill(this.table.body, statistics.map((s) => [s.phase, whole(s.count), ms(s.p50_ns), ms(s.p90_ns), ms(s.p99_ns)]));
  }
}
