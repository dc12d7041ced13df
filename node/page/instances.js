// The list of instances: filter, order, selection, and the details of one beside it. All of that is in the address.
import { link } from "./api.js";
import { BULK, act, actOnAll, fitting } from "./actions.js";
import { instances, may, node, on, rates } from "./data.js";
import { button, h, input, put } from "./dom.js";
import { addresses, bytes, labelText, ms, percent, plural, rate, whole } from "./format.js";
import { Grid } from "./grid.js";
import { arrange, matcher } from "./order.js";
import { menu } from "./popup.js";
import { here, href, set } from "./route.js";
import { Details } from "./details.js";

const STATES = ["ready", "starting", "paused", "stopping", "waiting", "stopped", "failed"];
// More names than this do not go into an address; all of the filter is one word.
const NAMED = 100;
const of = (i) => rates.get(i.name) || {};
// One that is ready and does not do its work is not well.
const shown = (i) => (i.health?.state === "unhealthy" ? "unhealthy" : i.state);
const runs = (i) => i.pid !== undefined && i.pid !== null;

const why = (i) => i.reason || i.health?.reason || "";

const COLUMNS = [
  { id: "name", title: "Name", text: (i) => i.name, value: (i) => i.name, build: (i) => h("a", { href: href("instances", { open: i.name }), tabindex: "-1" }) },
  { id: "state", title: "State", text: shown, tone: (i) => `badge ${shown(i)}`, value: (i) => STATES.indexOf(i.state) },
  { id: "pps", title: "Packets/s", number: true, text: (i) => (runs(i) ? rate(of(i).pps) : "–"), value: (i) => of(i).pps ?? -1 },
  { id: "bps", title: "Bit/s", number: true, text: (i) => (runs(i) ? rate(of(i).bps) : "–"), value: (i) => of(i).bps ?? -1 },
  { id: "drops", title: "Drops/s", number: true, text: (i) => (runs(i) ? rate(of(i).drops) : "–"), tone: (i) => (of(i).drops >= 1 ? "bad" : ""), value: (i) => of(i).drops ?? -1 },
  { id: "cpu", title: "CPU", number: true, text: (i) => (runs(i) ? percent(of(i).cpu) : "–"), value: (i) => of(i).cpu ?? -1 },
  { id: "memory", title: "Memory", number: true, text: (i) => (runs(i) ? bytes(of(i).memory) : "–"), value: (i) => of(i).memory ?? -1 },
  { id: "restarts", title: "Restarts", number: true, text: (i) => String(i.restarts || 0), tone: (i) => (i.restarts ? "wait" : ""), value: (i) => i.restarts || 0 },
  { id: "ready", title: "Ready in", number: true, text: (i) => (i.ready_ns ? `${ms(i.ready_ns)} ms` : "–"), value: (i) => i.ready_ns || -1 },
  { id: "address", title: "Addresses", text: (i) => i.devices.map(addresses).join(" "), value: (i) => i.devices.map(addresses).join(" ") },
  { id: "image", title: "Image", text: (i) => i.image, value: (i) => i.image },
  { id: "labels", title: "Labels", text: (i) => labelText(i.labels), value: (i) => labelText(i.labels) },
  { id: "reason", title: "Reason", text: why, tone: () => "bad", value: why },
];
const LIVE = new Set(["pps", "bps", "drops", "cpu", "memory", "state"]);

export class Instances {
  constructor() {
    this.title = "Instances";
    this.picked = new Set();
    this.former = [];
    this.filter = input({ type: "search", id: "filter", placeholder: "Filter: name, app=fw, net:blue, -dns", "aria-label": "Filter", "aria-describedby": "filter-help", oninput: () => set({ q: this.filter.value }) });
    this.chips = h("div", { class: "chips", role: "group", "aria-label": "States" });
    this.count = h("output", { class: "count", "aria-live": "polite" });
    this.bulk = h("div", { class: "bulk", role: "toolbar", "aria-label": "Selected instances", hidden: true });
    this.progress = h("div", { class: "progress", role: "status", hidden: true });
    this.empty = h("p", { class: "empty", hidden: true });
    this.grid = new Grid({
      name: "instances", label: "Instances", columns: COLUMNS, key: (i) => i.name, picked: this.picked, pickable: may("operate"),
      open: (i) => set({ open: i.name }, true), menu: (i, at) => this.menu(i, at), sort: (id) => this.sort(id), pick: () => this.keepPick(),
    });
    this.make = h("a", { class: "button primary", href: "#/new" }, "New instance");
    this.details = new Details((i, at) => this.menu(i, at));
    const help = h("p", { id: "filter-help", class: "unseen" }, "Words that all have to hold: part of a name, label=value, state:failed, net:name, image:name, and a minus before a word for not. Keys in the list: arrows, Enter opens, space selects, M shows the actions.");
    const bar = h("div", { class: "bar" }, this.filter, this.chips, this.count, this.make);
    this.element = h("section", { class: "list", "aria-label": "Instances" }, bar, help, h("div", { class: "beside" }, h("div", { class: "pane" }, this.bulk, this.progress, this.grid.element, this.empty), this.details.element));
    on("instances", () => this.refresh());
    on("usage", () => this.refresh(true));
    on("link", () => this.drawBulk());
    document.addEventListener("keydown", (e) => {
      if (e.key !== "/" || !this.element.isConnected || e.target.closest("input, textarea, select, dialog")) return;
      e.preventDefault();
      this.filter.focus();
    });
  }

  /** Shows what the address says. */
  show(at) {
    const q = at.get("q") || "", sort = at.get("sort") || "name";
    if (this.filter.value !== q) this.filter.value = q;
    this.matches = matcher(q);
    this.state = at.get("state") || "";
    [this.by, this.down] = [sort.replace(/^-/, ""), sort.startsWith("-")];
    this.column = COLUMNS.find((c) => c.id === this.by) || COLUMNS[0];
    this.grid.sorted(this.column.id, this.down);
    const pick = at.get("pick") || "";
    if (pick !== this.kept) {
      this.picked.clear();
      this.kept = this.toPick = pick;
    }
    const order = `${q} ${this.state} ${sort}`;
    if (this.order !== order) this.former = [];
    this.order = order;
    this.grid.opened = at.get("open");
    this.make.hidden = !may("operate");
    this.refresh();
    this.details.show(at.get("open"), at.get("tab") || "overview");
    this.element.classList.toggle("with-details", Boolean(at.get("open")));
  }

  /** The list as it is now. With `onlyRates`, no instance came, went or changed. */
  refresh(onlyRates = false) {
    if (!this.element.isConnected || !node.loaded || !link.up) return;
    const begun = performance.now();
    if (onlyRates && !LIVE.has(this.column.id)) { this.grid.draw(); this.took(begun); return; }
    const counts = new Map(), list = [];
    for (const i of instances.values()) {
      if (!this.matches(i)) continue;
      counts.set(i.state, (counts.get(i.state) || 0) + 1);
      if (!this.state || i.state === this.state) list.push(i);
    }
    this.former = arrange(list, this.column.value, this.down, this.former, this.grid.inUse);
    this.drawChips(counts);
    this.restorePick();
    this.grid.show(this.former);
    put(this.count, list.length === instances.size ? plural(list.length, "instance") : `${whole(list.length)} of ${plural(instances.size, "instance")}`);
    this.empty.hidden = list.length > 0;
    if (!list.length) put(this.empty, instances.size ? "No instance fits the filter." : `There are no instances yet.${may("operate") ? " “New instance” makes one." : ""}`);
    this.drawBulk();
    this.took(begun);
  }

  /** How long updates take, for whoever measures. */
  took(begun) { this.element.dataset.tookMs = (performance.now() - begun).toFixed(1); }

  sort(id) {
    const number = COLUMNS.find((c) => c.id === id).number;
    // Numbers begin with the largest.
    const down = this.by === id ? !this.down : Boolean(number);
    set({ sort: `${down ? "-" : ""}${id}` === "name" ? null : `${down ? "-" : ""}${id}` }, true);
  }

  drawChips(counts) {
    const words = ["", ...STATES.filter((s) => counts.get(s) || s === this.state)];
    const total = [...counts.values()].reduce((a, b) => a + b, 0);
    const was = words.join();
    if (this.chips.was !== was) {
      this.chips.was = was;
      this.chips.replaceChildren(...words.map((s) => h("button", { class: `chip ${s}`, "data-state": s, onclick: () => set({ state: s }, true) })));
    }
    for (const chip of this.chips.children) {
      const s = chip.dataset.state;
      put(chip, `${s || "all"} ${whole(s ? counts.get(s) || 0 : total)}`);
      chip.setAttribute("aria-pressed", String(s === this.state));
    }
  }

  /** Takes a selection from the address: names, or `*` for all that is listed. What is not listed is not selected. */
  restorePick() {
    const listed = new Set(this.former.map((i) => i.name));
    if (this.toPick === "*") for (const name of listed) this.picked.add(name);
    else if (this.toPick) for (const name of this.toPick.split(",")) this.picked.add(name);
    this.toPick = "";
    for (const name of this.picked) if (!listed.has(name)) this.picked.delete(name);
  }

  /** Puts the selection into the address. */
  keepPick() {
    const all = this.picked.size > 0 && this.picked.size === this.former.length;
    this.kept = all ? "*" : this.picked.size <= NAMED ? [...this.picked].join(",") : "";
    this.drawBulk();
    set({ pick: this.kept });
  }

  drawBulk() {
    const n = may("operate") ? this.picked.size : 0;
    this.bulk.hidden = n === 0;
    if (n && !this.bulk.children.length) {
      const all = () => [...this.picked].map((name) => instances.get(name)).filter(Boolean);
      this.bulk.append(h("b"), ...BULK.map((a) => button(a.words, () => actOnAll(a, all(), (words, stop) => this.tell(words, stop)), { class: a.tone })), button("Clear", () => this.grid.pickAll(false)));
    }
    for (const b of this.bulk.querySelectorAll("button")) b.disabled = !link.up;
    if (n) put(this.bulk.firstChild, `${whole(n)} selected`);
  }

  tell(words, stop) {
    this.progress.hidden = !words;
    if (!this.progress.children.length) this.progress.append(h("span"), button("Stop here", () => this.stop()));
    this.stop = stop;
    put(this.progress.firstChild, words);
  }

  menu(i, at) {
    const now = instances.get(i.name) || i;
    const open = (tab, words) => ({ words, then: () => set({ open: now.name, tab }, true) });
    menu(`Actions of ${now.name}`, at.querySelector("button") || at, [
      ...fitting(now).map((a) => ({ words: a.words, tone: a.tone, then: () => act(a, now) })),
      open("console", "Console"), open("config", "Configuration"),
    ]);
  }
}
