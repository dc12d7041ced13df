// Networks: the picture, every port in a list, and forms to make, change and delete a network.
import { get, link } from "./api.js";
import { instances, may, on } from "./data.js";
import { button, h, input, options, put, select, serial } from "./dom.js";
import { bytes, plural, rate, whole } from "./format.js";
import { reasons } from "./about.js";
import { Grid } from "./grid.js";
import { changeNetwork, deleteNetwork, makeNetwork } from "./networks.js";
import { Picture } from "./picture.js";
import { set } from "./route.js";

const LOOK_MS = 2000, MANY = 24;
const COLLATOR = new Intl.Collator("en", { numeric: true });

/** A link of a bond in words: what carries packets is active. */
export const linkState = (l) => `${l.up ? "up" : "down"}, ${l.active ? "active" : "waiting"}${l.lacp ? `, LACP ${l.lacp.mux}` : ""}`;
const what = (p) => (p.bond ? `bond, ${p.bond.mode}` : p.kind);

export class Network {
  constructor() {
    this.title = "Network";
    this.search = input({ type: "search", placeholder: "Find a port", "aria-label": "Find a port", oninput: () => set({ q: this.search.value }), onkeydown: (e) => { if (e.key === "Enter") this.picture.goFirst(); } });
    this.group = select([], { "aria-label": "Group ports by", onchange: () => set({ by: this.group.value }, true) });
    this.zoomed = h("output");
    this.picture = new Picture("Networks and their ports; the list below says the same", (percent) => put(this.zoomed, `${percent} %`));
    this.make = button("New network", () => makeNetwork(this.look), { class: "primary" });
    this.found = h("output", { class: "count" });
    const p = this.picture;
    const tools = h("div", { class: "bar" }, this.search, this.found, h("label", {}, "Group by ", this.group), button("+", () => p.zoom(0.8), { "aria-label": "Zoom in" }), button("−", () => p.zoom(1.25), { "aria-label": "Zoom out" }), button("100 %", () => p.home()), button("All", () => p.all()), this.zoomed, this.make);
    this.nets = h("ul", { class: "nets", "aria-label": "Networks" });
    this.empty = h("p", { class: "empty" });
    const traffic = (c) => ({ number: true, ...c });
    this.grid = new Grid({
      name: "ports", label: "Ports of the switch", key: (r) => r.port, sort: (id) => set({ sort: this.by === id && !this.down ? `-${id}` : id }, true),
      columns: [
        { id: "network", title: "Network", text: (r) => r.network }, { id: "name", title: "Port of", text: (r) => r.name }, { id: "kind", title: "Kind", text: (r) => r.kind },
        { id: "state", title: "State", text: (r) => r.state, tone: (r) => `badge ${r.state}` }, { id: "bond", title: "In its bond", text: (r) => r.bond },
        traffic({ id: "pps", title: "Packets/s", text: (r) => rate(r.pps), value: (r) => r.pps }), traffic({ id: "in", title: "In", text: (r) => `${whole(r.received)} (${bytes(r.receivedBytes)})`, value: (r) => r.received }),
        traffic({ id: "out", title: "Out", text: (r) => `${whole(r.sent)} (${bytes(r.sentBytes)})`, value: (r) => r.sent }),
        { id: "dropped", title: "Dropped", text: (r) => r.dropped, value: (r) => r.drops }, { id: "error", title: "Last error", text: (r) => r.error, tone: () => "bad" },
      ],
    });
    this.element = h("section", { class: "list network", "aria-label": "Network" }, tools, this.nets, this.empty, this.picture.svg, this.grid.element);
    this.look = serial(() => this.read());
    on("instances", () => this.draw());
    setInterval(() => { if (this.element.isConnected && link.up && !document.hidden) this.look(); }, LOOK_MS);
    new ResizeObserver(() => this.draw()).observe(this.picture.svg);
  }

  show(at) {
    const q = at.get("q") || "";
    if (this.search.value !== q) this.search.value = q;
    this.wished = at.get("by");
    [this.by, this.down] = [(at.get("sort") || "network").replace(/^-/, ""), (at.get("sort") || "").startsWith("-")];
    this.grid.sorted(this.by, this.down);
    this.make.hidden = !may("admin");
    this.look();
    this.draw();
  }

  happened(event) { if (/^(network|switch)\./.test(event.kind)) this.look(); }

  async read() {
    const [networks, status] = await Promise.all([get("/v1/networks"), get("/v1/switch")]);
    const now = performance.now(), was = this.counts || new Map();
    const total = (p) => p.counters.received + p.counters.sent;
    this.rates = new Map();
    for (const p of status.ports) if (was.has(p.name)) this.rates.set(p.name, Math.max(0, total(p) - was.get(p.name)) / ((now - this.at) / 1000));
    this.counts = new Map(status.ports.map((p) => [p.name, total(p)]));
    Object.assign(this, { at: now, networks, ports: status.ports });
    this.draw();
  }

  draw() {
    if (!this.element.isConnected || !this.ports || !link.up) return;
    this.owners = new Map();
    for (const i of instances.values()) i.devices.forEach((d, n) => this.owners.set(d.port, { i, d, words: i.devices.length > 1 ? `${i.name} eth${n}` : i.name }));
    this.drawNets();
    this.drawGroups();
    this.empty.hidden = this.networks.length > 0;
    put(this.empty, this.networks.length ? "" : `There are no networks yet.${may("admin") ? " “New network” makes one." : ""}`);
    this.picture.svg.toggleAttribute("hidden", !this.networks.length);
    this.picture.show(this.networks.map((n) => this.beam(n)));
    this.picture.traffic(this.rates, rate);
    const found = this.picture.find(this.search.value.trim());
    put(this.found, this.search.value.trim() ? `${found} found` : plural(this.ports.length, "port"));
    this.drawList();
  }

  /** By what ports can be grouped: labels that instances have, and the image. */
  drawGroups() {
    const labels = new Set();
    for (const i of instances.values()) for (const key of Object.keys(i.labels || {})) if (labels.size < 20) labels.add(key);
    const choices = ["none", "image", ...labels];
    if (this.group.was !== choices.join()) {
      this.group.was = choices.join();
      this.group.replaceChildren(...options(choices.map((o) => [o, o === "none" || o === "image" ? o : `label ${o}`])));
    }
    const usual = this.ports.length > MANY ? (labels.has("app") ? "app" : "image") : "none";
    this.group.value = choices.includes(this.wished) ? this.wished : usual;
  }

  /** A network for the picture. */
  beam(n) {
    const of = (p) => this.owners.get(p.name), by = this.group.value;
    const links = (p) => (p.bond?.links || []).map((l) => ({ key: l.port, name: l.port, words: linkState(l), up: l.up, active: l.active, links: [] }));
    const tile = (p) => ({ key: p.name, name: of(p)?.words ?? p.name, words: `${what(p)}, ${p.up ? "up" : "down"}`, up: p.up, links: links(p) });
    const ports = this.ports.filter((p) => p.segment === n.name || p.trunk.some(([, segment]) => segment === n.name));
    const known = new Set(this.ports.map((p) => p.name));
    const groups = new Map([["", ports.filter((p) => !of(p)).map(tile)]]);
    const put = (i, made) => {
      const name = by === "none" ? " " : by === "image" ? i.image : Object.hasOwn(i.labels || {}, by) ? i.labels[by] || "(empty)" : `without ${by}`;
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push(made);
    };
    for (const p of ports) if (of(p)) put(of(p).i, tile(p));
    // Instances that do not run have no port: they are counted, and drawn while they are few.
    const absent = [...this.owners.values()].filter(({ d }) => d.network === n.name && !known.has(d.port));
    if (absent.length <= MANY) for (const { i, d, words } of absent) put(i, { key: d.port, name: words, words: i.state, up: false, absent: true, links: [] });
    const title = [n.name, n.subnet, n.subnet6, n.gateway && `gateway ${n.gateway}`, n.point_to_point && "a wire", plural(ports.length, "port"), absent.length > MANY && `${whole(absent.length)} instances do not run`].filter(Boolean).join(", ");
    const sorted = [...groups].sort(([a], [b]) => COLLATOR.compare(a, b)).filter(([, tiles]) => tiles.length);
    return { title, groups: sorted.map(([name, tiles]) => ({ name: name === "" && groups.size > 1 && by !== "none" ? "host and uplinks" : name.trim(), tiles: tiles.sort((a, b) => COLLATOR.compare(a.name, b.name)) })) };
  }

  drawNets() {
    const key = JSON.stringify(this.networks) + may("admin");
    if (this.nets.was === key) return;
    this.nets.was = key;
    this.nets.replaceChildren(...this.networks.map((n) => {
      const uplink = n.uplink && `uplink ${n.uplink.interfaces.join(" + ")}`;
      const facts = [n.subnet, n.subnet6, n.gateway && `gateway ${n.gateway}`, n.gateway6 && `gateway ${n.gateway6}`, n.host && `host ${n.host.tap}`, uplink, `MTU ${n.mtu}`, n.flood_limit ? `floods ${whole(n.flood_limit)}/s` : "floods unlimited"].filter(Boolean).join(" · ");
      const tools = may("admin") ? [button("Change", () => changeNetwork(n, this.look), { "aria-label": `Change ${n.name}` }), button("Delete", () => deleteNetwork(n, this.look), { "aria-label": `Delete ${n.name}` })] : [];
      return h("li", {}, h("b", {}, n.name), h("span", { class: "quiet" }, facts), ...tools);
    }));
  }

  drawList() {
    const words = this.search.value.trim().toLowerCase();
    const rows = this.ports.map((p) => {
      const above = p["link-of"] && this.ports.find((b) => b.name === p["link-of"]);
      const state = above?.bond?.links.find((l) => l.port === p.name), c = p.counters;
      const trunk = p.trunk.map(([vlan, segment]) => `${segment} (VLAN ${vlan})`);
      return {
        port: p.name, network: [p.segment, ...trunk].filter(Boolean).join(", ") || (above ? `link of ${above.name}` : "none"), name: this.owners.get(p.name)?.words ?? p.name, kind: `${what(p)} ${p.device}`,
        state: p.up ? "up" : "down", bond: state ? linkState(state) : "–", pps: this.rates.get(p.name), received: c.received, receivedBytes: c.received_bytes, sent: c.sent, sentBytes: c.sent_bytes,
        dropped: reasons(c), drops: Object.values(c.drops).reduce((a, b) => a + b, 0), error: p["last-error"] || "",
      };
    }).filter((r) => !words || `${r.name} ${r.port} ${r.network} ${r.kind}`.toLowerCase().includes(words));
    const column = this.grid.columns.find((c) => c.id === this.by) || this.grid.columns[0], value = column.value || column.text;
    const compare = (a, b) => { const [x, y] = [value(a) ?? -1, value(b) ?? -1]; return typeof x === "number" ? x - y : COLLATOR.compare(x, y); };
    if (!this.grid.inUse) this.sorted = rows.sort((a, b) => (this.down ? -1 : 1) * compare(a, b) || COLLATOR.compare(a.name, b.name));
    else {
      const now = new Map(rows.map((r) => [r.port, r])), kept = this.sorted.map((r) => now.get(r.port)).filter(Boolean), had = new Set(kept);
      this.sorted = kept.concat(rows.filter((r) => !had.has(r)));
    }
    this.grid.show(this.sorted);
  }
}
