// A table of thousands of rows, of which only those in sight are in the document. The focus stays on the grid, and
// `aria-activedescendant` says which row is meant: a row that leaves the document takes no focus with it.
import { h } from "./dom.js";

let grids = 0;
const SPARE = 6;

/**
 * `columns`: `{id, title, text(row), tone(row), number, build(row)}`; `key(row)`: a string of its own; `open(row)`: Enter
 * or a click; `menu(row, at)`: its actions; `sort(id)`: a head is clicked. With `picked`, a set of keys,
 * rows can be selected if they are `pickable`.
 */
export class Grid {
  constructor({ name, label, columns, key, open, menu, sort, picked, pickable, pick }) {
    Object.assign(this, { columns, key, open, menu, sort, picked, pickable, pick });
    this.id = `g${grids += 1}`;
    this.list = [];
    this.places = new Map();
    this.drawn = new Map();
    this.active = null;
    this.anchor = null;
    this.height = 32;
    this.head = h("div", { role: "row", class: "row", "aria-rowindex": "1" }, this.heads());
    this.body = h("div", { role: "rowgroup", class: "body" });
    this.element = h("div", {
      class: `grid grid-${name}`, role: "grid", tabindex: "0", "aria-label": label, "aria-colcount": String(columns.length + (picked ? 1 : 0) + (menu ? 1 : 0)),
      "aria-multiselectable": pickable ? "true" : undefined, "aria-rowcount": "1",
    }, h("div", { role: "rowgroup", class: "head" }, this.head), this.body);
    this.element.addEventListener("scroll", () => { this.draw(); }, { passive: true });
    this.element.addEventListener("keydown", (e) => this.pressed(e));
    this.element.addEventListener("click", (e) => this.clicked(e));
    new ResizeObserver(() => this.show(this.list)).observe(this.element);
  }

  heads() {
    const sorted = (c) => h("button", { onclick: () => this.sort(c.id) }, c.title);
    const heads = this.columns.map((c) => h("div", { role: "columnheader", class: `c-${c.id}${c.number ? " number" : ""}`, "data-sort": c.id }, this.sort ? sorted(c) : c.title));
    if (this.picked) {
      if (this.pickable) this.all = h("input", { type: "checkbox", "aria-label": "Select all that are listed", onclick: () => this.pickAll(this.all.checked) });
      heads.unshift(h("div", { role: "columnheader", class: "c-pick" }, this.all ?? h("span", { class: "unseen" }, "Selected")));
    }
    if (this.menu) heads.push(h("div", { role: "columnheader", class: "c-menu" }, h("span", { class: "unseen" }, "Actions")));
    return heads;
  }

  /** Says by which column the list is sorted. */
  sorted(id, down) {
    for (const head of this.head.children) {
      if (head.dataset.sort === id) head.setAttribute("aria-sort", down ? "descending" : "ascending"); else head.removeAttribute("aria-sort");
    }
  }

  /** Rows are higher where they are touched. */
  measure() {
    const height = parseFloat(getComputedStyle(this.element).getPropertyValue("--row"));
    if (!height || height === this.height) return;
    this.height = height;
    for (const row of this.drawn.values()) row.at = -1;
  }

  /** Whether somebody points at a row or works with the keyboard: then rows had better stay where they are. */
  get inUse() {
    return this.body.matches(":hover") || (document.activeElement === this.element && this.active !== null);
  }

  /** Shows rows. What is in sight stays at its place on the screen, though others come and go above it. */
  show(list) {
    this.measure();
    const top = this.element.scrollTop;
    const first = this.list[Math.floor(top / this.height)];
    const offset = top % this.height;
    const former = this.active === null ? -1 : this.places.get(this.active);
    this.list = list;
    this.places = new Map(list.map((row, at) => [this.key(row), at]));
    if (this.active !== null && !this.places.has(this.active)) {
      // Its neighbour is next.
      this.active = list.length ? this.key(list[Math.min(former, list.length - 1)]) : null;
    }
    this.element.setAttribute("aria-rowcount", String(list.length + 1));
    this.body.style.height = `${list.length * this.height}px`;
    const at = first && top > 0 ? this.places.get(this.key(first)) : undefined;
    if (at !== undefined && at * this.height + offset !== top) this.element.scrollTop = at * this.height + offset;
    this.draw();
  }

  /** Brings what is in sight up to date. */
  draw() {
    const { height, list } = this;
    const from = Math.max(0, Math.floor(this.element.scrollTop / height) - SPARE);
    const to = Math.min(list.length, Math.ceil((this.element.scrollTop + this.element.clientHeight) / height) + SPARE);
    const seen = new Set(list.slice(from, to).map(this.key));
    for (const [key, row] of this.drawn) {
      if (seen.has(key)) continue;
      row.element.remove();
      this.drawn.delete(key);
    }
    // From the last: each stands in front of the one after it, so that they are read in order.
    let after = null;
    for (let at = to - 1; at >= from; at -= 1) {
      const { element } = this.row(this.key(list[at]), list[at], at);
      if (element.parentNode !== this.body || element.nextSibling !== after) this.body.insertBefore(element, after);
      after = element;
    }
    const active = this.active !== null && this.drawn.get(this.active);
    if (active) this.element.setAttribute("aria-activedescendant", active.element.id); else this.element.removeAttribute("aria-activedescendant");
    if (this.all) {
      this.all.checked = list.length > 0 && this.picked.size >= list.length && list.every((row) => this.picked.has(this.key(row)));
      this.all.indeterminate = this.picked.size > 0 && !this.all.checked;
    }
  }

  row(key, row, at) {
    let made = this.drawn.get(key);
    if (!made) {
      made = this.make(key, row);
      this.drawn.set(key, made);
    }
    if (made.at !== at) {
      made.at = at;
      made.element.style.top = `${at * this.height}px`;
      made.element.setAttribute("aria-rowindex", String(at + 2));
      made.element.classList.toggle("odd", at % 2 === 1);
    }
    this.columns.forEach((c, n) => {
      const text = c.text(row), tone = c.tone ? c.tone(row) : "";
      if (made.texts[n] !== text) {
        made.texts[n] = text;
        made.cells[n].textContent = text;
        made.cells[n].parentElement.title = text.length > 12 ? text : "";
      }
      if (made.tones[n] !== tone) {
        made.tones[n] = tone;
        made.cells[n].className = tone;
      }
    });
    const picked = this.picked ? this.picked.has(key) : false;
    if (made.picked !== picked) {
      made.picked = picked;
      if (made.check) made.check.checked = picked;
      if (this.pickable) made.element.setAttribute("aria-selected", String(picked));
    }
    made.element.classList.toggle("active", key === this.active);
    made.element.classList.toggle("open", key === this.opened);
    return made;
  }

  make(key, row) {
    const cells = this.columns.map((c) => (c.build ? c.build(row) : h("span")));
    const element = h("div", { role: "row", class: "row", id: `${this.id}-${key}` }, cells.map((cell, n) => {
      const c = this.columns[n];
      return h("div", { role: "gridcell", class: `c-${c.id}${c.number ? " number" : ""}` }, cell);
    }));
    element.dataset.key = key;
    const made = { element, cells, texts: [], tones: [], at: -1, picked: null };
    if (this.picked) {
      if (this.pickable) made.check = h("input", { type: "checkbox", tabindex: "-1", "aria-label": `Select ${key}` });
      element.prepend(h("div", { role: "gridcell", class: "c-pick" }, made.check ?? ""));
    }
    if (this.menu) element.append(h("div", { role: "gridcell", class: "c-menu" }, h("button", { tabindex: "-1", "aria-haspopup": "menu", "aria-label": `Actions of ${key}` }, "⋯")));
    return made;
  }

  clicked(e) {
    const element = e.target.closest(".body > .row");
    if (!element || e.ctrlKey || e.metaKey) return;
    const row = this.list[this.places.get(element.dataset.key)];
    if (!row) return;
    if (e.target.closest("a")) e.preventDefault();
    const { key } = element.dataset;
    if (e.target.closest(".c-pick")) { this.toggle(key, e.shiftKey); this.move(key, false); } else if (e.target.closest(".c-menu")) {
      this.move(key, false);
      this.menu(row, e.target.closest(".c-menu"));
    } else { this.move(key, false); this.open?.(row); }
  }

  /** Makes a row the one that is meant, and brings it into sight. */
  move(key, scroll = true) {
    this.active = key;
    const at = this.places.get(key);
    if (scroll && at !== undefined) {
      const { element, height } = this, head = this.head.offsetHeight;
      const low = at * height, high = low + height + head;
      if (low < element.scrollTop) element.scrollTop = low;
      else if (high > element.scrollTop + element.clientHeight) element.scrollTop = high - element.clientHeight;
    }
    this.draw();
  }

  toggle(key, range) {
    if (!this.pickable) return;
    const on = !this.picked.has(key);
    const [a, b] = [this.places.get(this.anchor), this.places.get(key)];
    const keys = range && a !== undefined ? this.list.slice(Math.min(a, b), Math.max(a, b) + 1).map(this.key) : [key];
    for (const k of keys) if (on) this.picked.add(k); else this.picked.delete(k);
    this.anchor = key;
    this.pick();
    this.draw();
  }

  pickAll(on) {
    this.picked.clear();
    if (on) for (const row of this.list) this.picked.add(this.key(row));
    this.pick();
    this.draw();
  }

  pressed(e) {
    // Heads and boxes have keys of their own.
    if (e.target !== this.element || !this.list.length) return;
    const at = this.places.get(this.active) ?? -1, last = this.list.length - 1;
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.height) - 2);
    const to = { ArrowDown: at + 1, ArrowUp: Math.max(0, at - 1), PageDown: at + page, PageUp: at - page, Home: 0, End: last }[e.key];
    const row = this.list[at];
    if (to !== undefined) {
      const key = this.key(this.list[Math.min(last, Math.max(0, to))]);
      if (e.shiftKey && this.pickable && row) {
        this.picked.add(this.active).add(key);
        this.pick();
      }
      this.move(key);
    } else if (e.key === " " && row) this.toggle(this.active, e.shiftKey);
    else if (e.key === "Enter" && row) this.open?.(row);
    else if ((e.key === "ContextMenu" || e.key === "m" || (e.key === "F10" && e.shiftKey)) && row && this.menu) this.menu(row, this.drawn.get(this.active)?.element.querySelector(".c-menu"));
    else if (e.key === "a" && (e.ctrlKey || e.metaKey) && this.pickable) this.pickAll(true);
    else if (e.key === "Escape" && this.picked?.size) this.pickAll(false);
    else return;
    e.preventDefault();
  }
}
