// What an instance is and uses.
import { ask, getOr, of } from "./api.js";
import { may, rates } from "./data.js";
import { attempt, facts, field, fill, h, say, select, table } from "./dom.js";
import { addresses, bytes, duration, labelText, moment, ms, pairs, percent, rate, whole } from "./format.js";
import { form } from "./popup.js";
import { Spark } from "./svg.js";

const GUEST = ["Packets to the guest", "Packets from the guest", "Dropped by the guest", "Times it gave way", "Heap in use"];
const POINTS = 90;

/** Why packets went nowhere, in words. */
export const reasons = (counters) => Object.entries(counters.drops).map(([why, n]) => `${whole(n)} ${why}`).join(", ") || "0";

export class About {
  constructor() {
    this.title = "Overview";
    this.facts = h("dl", { class: "facts" });
    this.inside = h("dl", { class: "facts" });
    this.words = h("span", { class: "number" });
    this.spark = new Spark("Packets per second of the last minutes", POINTS);
    this.devices = table("Devices", ["Device", "Link", "Address", "To the guest", "From the guest", "Dropped"]);
    this.change = h("button", { onclick: () => this.edit() }, "Change labels or policy");
    this.element = h("div", {}, h("p", { class: "traffic" }, this.spark.element, this.words), this.facts, h("p", {}, this.change), h("h3", {}, "Devices"), this.devices.element, h("h3", {}, "Inside"), this.inside);
    this.look = attempt(() => this.read());
  }

  show(i, fresh) {
    if (fresh) {
      this.points = [];
      this.spark.draw([]);
      this.words.textContent = "";
      fill(this.devices.body, []);
      facts(this.inside, []);
    }
    this.now = i;
    this.change.hidden = !may("operate");
    facts(this.facts, [
      ["Image", i.image], ["Memory", `${i.memory_mib} MiB`], ["Labels", labelText(i.labels)], ["Health", i.health ? `${i.health.state} since ${moment(i.health.since_unix_ns)}${i.health.reason ? `: ${i.health.reason}` : ""}` : "not checked"], ["Restart policy", i.restart], ["Restarts", i.restarts || 0],
      ["On demand", i.on_demand ? `retired after ${i.on_demand.idle_s} s` : "no"], ["Created", moment(i.created_unix_ns)],
      ["Started", moment(i.started_unix_ns)], ["Ready in", i.ready_ns ? `${ms(i.ready_ns)} ms` : "–"],
      ["Exit status", i.status ?? "–"], ["Process", i.pid ?? "–"], ["Id", i.id],
    ]);
    this.look();
  }

  measured(i) {
    const now = i && rates.get(i.name);
    if (!now) { this.words.textContent = i?.pid ? "" : "It does not run."; return; }
    this.points.push(now.pps || 0);
    if (this.points.length > POINTS) this.points.shift();
    this.spark.draw(this.points, 10);
    this.words.textContent = now.pps === undefined ? "" : `${rate(now.pps)} packets/s, ${rate(now.bps)} bit/s, ${rate(now.drops)} drops/s, CPU ${percent(now.cpu)}, ${bytes(now.memory)}`;
    this.look();
  }

  async read() {
    const i = this.now, answers = i.state === "ready" || i.state === "paused";
    const [status, inside] = await Promise.all([getOr({ ports: [] }, "/v1/switch"), answers ? getOr(null, of(i.name, "/inspect")) : null]);
    if (this.now.name !== i.name) return;
    const ports = new Map(status.ports.map((p) => [p.name, p.counters && p]));
    fill(this.devices.body, i.devices.map((d, n) => {
      const p = ports.get(d.port), c = p?.counters;
      const both = (packets, size) => (c ? `${whole(packets)} (${bytes(size)})` : "–");
      return [`eth${n}, ${d.network}`, p ? { words: p.up ? "up" : "down", tone: p.up ? "up" : "down" } : "–", addresses(d), both(c?.sent, c?.sent_bytes), both(c?.received, c?.received_bytes), c ? reasons(c) : "–"];
    }));
    facts(this.inside, inside ? [
      ["Up", duration(inside.up_ns / 1e9)], ["Guest memory", bytes(inside.memory)], ["Peak memory", bytes(inside.usage?.peak)],
      ...GUEST.map((what, at) => [what, inside.guest[at]]).filter(([, n]) => n !== undefined).map(([what, n]) => [what, what.startsWith("Heap") ? bytes(n) : whole(n)]),
    ] : [["Guest", answers ? "it does not answer" : "it does not run"]]);
  }

  /** Labels and restart policy change while it runs. */
  edit() {
    const i = this.now;
    const labels = h("textarea", { rows: "5", spellcheck: "false" });
    labels.value = Object.entries(i.labels || {}).map(([k, v]) => `${k}=${v}`).join("\n");
    const restart = select(["never", "on-failure", "always"]);
    restart.value = i.restart;
    form(`Change ${i.name}`, "Save", [field("Labels, one a line", labels), field("Restart", restart)], async () => {
      const next = pairs(labels.value);
      const gone = Object.fromEntries(Object.keys(i.labels || {}).filter((k) => !Object.hasOwn(next, k)).map((k) => [k, null]));
      await ask("PATCH", of(i.name), { labels: { ...next, ...gone }, restart: restart.value }, "application/merge-patch+json");
      say(`${i.name} is changed.`);
    });
  }
}
