// Handlers of a guest's elements, element by element: read, written, with the element's page of the manual.
import { ask, get, of } from "./api.js";
import { may } from "./data.js";
import { attempt, button, h, input, put, say } from "./dom.js";
import { short } from "./format.js";
import { manualPage } from "./manual.js";
import { here, set } from "./route.js";

// Every element has these; its heading says what they hold.
const COMMON = new Set(["class", "name", "handlers", "ports"]);
const SHOWN = 4000, ELEMENTS = 2000, AT_ONCE = 4;

export class Handlers {
  constructor() {
    this.title = "Handlers";
    this.search = input({ type: "search", "aria-label": "Find an element", placeholder: "Find an element", oninput: () => this.list() });
    this.elements = h("div", { class: "elements", role: "group", "aria-label": "Elements" });
    this.rows = h("div", { class: "handlers" });
    this.heading = h("h3", {}, "…");
    this.again = button("Read again", () => this.read());
    this.page = h("div", { class: "manual" });
    this.note = h("p", { class: "note" });
    this.element = h("div", {}, this.note, h("div", { class: "split" }, h("div", {}, this.search, this.elements), h("div", {}, h("p", { class: "tools" }, this.heading, this.again), this.rows, this.page)));
  }

  show(i, fresh) {
    const answers = i.state === "ready";
    const key = `${i.name} ${i.pid ?? ""} ${i.state}`;
    const el = here().at.get("el") || "";
    if (!fresh && key === this.key && el === this.el) return;
    const other = fresh || key !== this.key;
    [this.key, this.name, this.el] = [key, i.name, el];
    this.element.lastChild.hidden = !answers;
    this.note.textContent = answers ? "" : "Handlers can be asked while it is ready.";
    if (answers) attempt(async () => { if (other) await this.load(); await this.choose(this.el); })();
  }

  async value(handler) {
    return (await get(of(this.name, `/handlers/${encodeURIComponent(handler)}`))).value;
  }

  async load() {
    const { key } = this;
    this.names = [];
    this.list();
    let names;
    try { names = (await this.value("list")).split("\n").slice(1).filter(Boolean).slice(0, ELEMENTS); } catch (e) {
      this.note.textContent = `This guest has no elements to ask: ${e.message}`;
      return;
    }
    if (key !== this.key) return;
    this.names = names;
    this.list();
  }

  list() {
    const words = this.search.value.toLowerCase();
    const chosen = this.chosen;
    this.elements.replaceChildren(...(this.names || []).filter((n) => n.toLowerCase().includes(words)).map((n) => h("button", { "aria-pressed": String(n === chosen), onclick: () => set({ el: n }, true) }, n)));
  }

  /** Shows an element: the one that the address names, or the first. */
  async choose(name) {
    const { key } = this;
    this.chosen = this.names.includes(name) ? name : this.names[0];
    for (const b of this.elements.children) b.setAttribute("aria-pressed", String(b.textContent === this.chosen));
    if (!this.chosen) return;
    const element = this.chosen;
    const [kind, list] = await Promise.all([this.value(`${element}.class`), this.value(`${element}.handlers`)]);
    if (key !== this.key || element !== this.chosen) return;
    put(this.heading, `${element} :: ${kind.trim()}`);
    const known = list.split("\n").map((line) => line.split("\t")).filter(([n]) => n && !COMMON.has(n));
    this.handlers = known.map(([n, mode = ""]) => this.row(`${element}.${n}`, n, mode));
    this.rows.replaceChildren(...this.handlers.map((x) => x.element));
    this.page.replaceChildren();
    await this.read();
    const page = await manualPage(kind.trim()).catch(() => []);
    if (element === this.chosen) this.page.replaceChildren(...page.filter(Boolean));
  }

  row(handler, name, mode) {
    const value = h("pre", { class: "value", tabindex: "0", role: "region", "aria-label": `Value of ${name}` });
    const made = { handler, reads: mode.includes("r"), value, element: h("div", { class: "handler" }, h("code", {}, name), value) };
    if (mode.includes("w") && may("operate")) {
      const next = input({ "aria-label": `New value of ${name}`, placeholder: made.reads ? "new value" : "value, or nothing" });
      const write = async () => {
        await ask("PUT", of(this.name, `/handlers/${encodeURIComponent(handler)}`), { value: next.value });
        say(`${handler} is written.`);
        next.value = "";
        await this.read();
      };
      made.element.append(h("form", { class: "tools", onsubmit: (e) => { e.preventDefault(); attempt(write)(); } }, next, h("button", { type: "submit" }, "Write")));
    }
    if (!made.reads) value.textContent = "write only";
    return made;
  }

  /** Reads what can be read, a few at once. */
  async read() {
    const queue = this.handlers.filter((x) => x.reads).values();
    const work = async () => {
      for (const x of queue) {
        const text = await this.value(x.handler).catch((e) => e.message);
        put(x.value, text === "" ? "(empty)" : short(text.replace(/\n$/, ""), SHOWN));
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }
}
