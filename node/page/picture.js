// The picture of the networks: each a beam, its ports hanging below on rows, grouped; lines are as thick as their traffic.
import { short } from "./format.js";
import { shape } from "./svg.js";

const EDGE = 16, GAP = 10, BEAM = 26, HEAD = 22, ROW_GAP = 18;
// Many ports have room for their names alone.
const LARGE = { wide: 158, high: 40 }, SMALL = { wide: 112, high: 22 }, MANY = 40;
const LEAST = 80, ZOOM_MAXIMUM = 40;

/** How thick a line is: one step more for ten times the packets. */
const thick = (pps) => (pps >= 1 ? Math.min(7, 1.5 + Math.log10(pps)) : 1.5);

export class Picture {
  constructor(label, moved) {
    this.svg = shape("svg", { class: "zooms picture", role: "img", "aria-label": label, tabindex: "0" });
    this.moved = moved;
    this.tiles = new Map();
    this.box = null;
    const { svg } = this;
    svg.addEventListener("wheel", (e) => {
      // Without a key the page scrolls.
      if (!e.ctrlKey && !e.shiftKey && !this.entered) return;
      e.preventDefault();
      this.zoom(e.deltaY < 0 ? 0.85 : 1.18, this.point(e));
    }, { passive: false });
    svg.addEventListener("keydown", (e) => this.key(e));
    svg.addEventListener("focus", () => { this.entered = true; });
    svg.addEventListener("blur", () => { this.entered = false; });
    let last = null;
    svg.addEventListener("pointerdown", (e) => { last = [e.clientX, e.clientY]; svg.setPointerCapture(e.pointerId); });
    for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => { last = null; });
    svg.addEventListener("pointermove", (e) => {
      if (!last) return;
      const scale = this.box.w / svg.clientWidth;
      this.move((last[0] - e.clientX) * scale, (last[1] - e.clientY) * scale);
      last = [e.clientX, e.clientY];
    });
  }

  point(e) {
    const r = this.svg.getBoundingClientRect();
    return [this.box.x + ((e.clientX - r.left) / r.width) * this.box.w, this.box.y + ((e.clientY - r.top) / r.height) * this.box.h];
  }

  /**
   * Draws networks: `{title, groups: [{name, tiles: [{key, name, words, up, absent, active, links: [tile]}]}]}`. The same
   * networks again only change what has changed.
   */
  show(networks) {
    const wide = Math.max(340, Math.round(this.svg.clientWidth / 20) * 20);
    const what = JSON.stringify([wide, networks]);
    if (what === this.what) return;
    this.what = what;
    this.tiles.clear();
    this.parts = [];
    const count = networks.reduce((n, x) => n + x.groups.reduce((m, g) => m + g.tiles.length, 0), 0);
    this.size = count > MANY ? SMALL : LARGE;
    let y = EDGE;
    for (const network of networks) y = this.network(network, wide, y) + ROW_GAP;
    [this.wide, this.high] = [wide, Math.max(LEAST, y)];
    this.svg.replaceChildren(...this.parts);
    if (wide !== this.former || this.box.w === this.whole.w) this.home(); else this.place();
    this.former = wide;
    this.find(this.words || "");
  }

  add(kind, attributes, text) {
    const made = shape(kind, attributes, text);
    this.parts.push(made);
    return made;
  }

  /** A network from y on; where it ends. */
  network({ title, groups }, wide, y) {
    const { size } = this, spine = EDGE + 8;
    const columns = Math.max(1, Math.floor((wide - spine - EDGE) / (size.wide + GAP)));
    const trunk = this.add("line", { class: "wire", x1: spine, x2: spine, y1: y + BEAM, y2: y + BEAM });
    let at = y + BEAM + 10, last = at;
    for (const { name, tiles } of groups) {
      if (name) {
        this.add("text", { class: "group", x: spine + 12, y: at + 14 }, `${name} · ${tiles.length}`);
        at += HEAD;
      }
      for (let n = 0; n < tiles.length; n += columns) {
        const row = tiles.slice(n, n + columns), line = at + 4;
        last = line;
        this.add("line", { class: "wire", x1: spine, x2: spine + 12 + (row.length - 1) * (size.wide + GAP) + size.wide / 2, y1: line, y2: line });
        let deepest = 0;
        row.forEach((t, column) => {
          const x = spine + 12 + column * (size.wide + GAP);
          deepest = Math.max(deepest, this.tile(t, x, line, line + 12));
        });
        at = deepest + 10;
      }
    }
    trunk.setAttribute("y2", last);
    this.add("rect", { class: "net", x: EDGE, y, width: wide - 2 * EDGE, height: BEAM, rx: 5 });
    this.add("text", { class: "net-name", x: EDGE + 10, y: y + 18 }, short(title, Math.floor(wide / 8)));
    return at;
  }

  /** A port's box with its line from above, and the links of its bond under it; where they end. */
  tile(t, x, from, y) {
    const { wide } = this.size, high = t.links?.length ? LARGE.high : this.size.high;
    const middle = x + wide / 2;
    const line = this.add("line", { class: `wire ${t.up ? "up" : "down"}`, x1: middle, x2: middle, y1: from, y2: y });
    const box = this.add("rect", { class: `box${t.absent ? " absent" : ""}${t.active ? " active" : ""}${t.up ? "" : " down"}`, x, y, width: wide, height: high, rx: 4 });
    const hint = shape("title", {}, `${t.name}: ${t.words}`);
    box.append(hint);
    const letters = Math.floor(wide / 7);
    this.add("text", { x: x + 6, y: y + 15 }, short(t.name, letters));
    const words = high > SMALL.high ? this.add("text", { class: "words", x: x + 6, y: y + 31 }, short(t.words, letters)) : null;
    this.tiles.set(t.key, { x, y, high, box, line, hint, words, letters, name: t.name, said: t.words });
    let end = y + high;
    for (const link of t.links || []) end = this.tile(link, x, end, end + 10);
    return end;
  }

  /** Traffic of ports: `rates` maps keys to packets a second, `words` makes text of them. */
  traffic(rates, words) {
    for (const [key, tile] of this.tiles) {
      const pps = rates.get(key) || 0, text = pps >= 1 ? `${words(pps)} packets/s` : "";
      if (tile.text === text) continue;
      tile.text = text;
      tile.line.style.strokeWidth = thick(pps).toFixed(1);
      tile.line.classList.toggle("busy", pps >= 1);
      tile.box.classList.toggle("busy", pps >= 1);
      tile.hint.textContent = `${tile.name}: ${tile.said}${text && `, ${text}`}`;
      if (tile.words) tile.words.textContent = short(text ? `${tile.said.split(",")[0]}, ${words(pps)}/s` : tile.said, tile.letters);
    }
  }

  /** Dims what a word does not fit; how many it fits. */
  find(words) {
    this.words = words;
    const low = words.toLowerCase();
    let found = 0;
    this.first = null;
    for (const tile of this.tiles.values()) {
      const fits = `${tile.name} ${tile.said}`.toLowerCase().includes(low);
      tile.box.classList.toggle("found", Boolean(low) && fits);
      tile.box.classList.toggle("dim", !fits);
      if (low && fits) { found += 1; this.first ||= tile; }
    }
    return found;
  }

  /** Goes to the first that was found. */
  goFirst() {
    if (!this.first) return;
    const w = Math.min(this.wide, 700), h = (w * this.svg.clientHeight) / this.svg.clientWidth;
    this.box = { x: this.first.x - w / 2 + 60, y: this.first.y - h / 2 + 20, w, h };
    this.place();
  }

  /** As wide as it is here, from the top. */
  home() {
    const h = (this.wide * this.svg.clientHeight) / Math.max(1, this.svg.clientWidth);
    this.whole = this.box = { x: 0, y: 0, w: this.wide, h };
    this.place();
  }

  /** All of it. */
  all() {
    const ratio = this.svg.clientWidth / Math.max(1, this.svg.clientHeight);
    const w = Math.max(this.wide, this.high * ratio);
    this.box = { x: (this.wide - w) / 2, y: 0, w, h: w / ratio };
    this.place();
  }

  zoom(by, [x, y] = [this.box.x + this.box.w / 2, this.box.y + this.box.h / 2]) {
    const w = this.box.w * by;
    if (w < this.wide / ZOOM_MAXIMUM || w > Math.max(this.wide, this.high * 4) * 2) return;
    this.box = { x: x - (x - this.box.x) * by, y: y - (y - this.box.y) * by, w, h: this.box.h * by };
    this.place();
  }

  move(x, y) {
    const { box } = this;
    // Something of it stays in sight.
    const held = (v, low, high) => Math.min(Math.max(v, low), high);
    this.box = { ...box, x: held(box.x + x, -box.w * 0.8, this.wide - box.w * 0.2), y: held(box.y + y, -box.h * 0.8, this.high - box.h * 0.2) };
    this.place();
  }

  place() {
    const { x, y, w, h } = this.box;
    this.svg.setAttribute("viewBox", [x, y, w, h].map((n) => n.toFixed(1)).join(" "));
    this.moved?.(Math.round((100 * this.svg.clientWidth) / w));
  }

  key(e) {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const step = this.box.w / 8;
    const act = {
      "+": () => this.zoom(0.8), "=": () => this.zoom(0.8), "-": () => this.zoom(1.25), 0: () => this.home(), a: () => this.all(),
      ArrowLeft: () => this.move(-step, 0), ArrowRight: () => this.move(step, 0), ArrowUp: () => this.move(0, -step), ArrowDown: () => this.move(0, step),
    }[e.key];
    if (act) { e.preventDefault(); act(); }
  }
}
