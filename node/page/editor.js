// A Click file: line numbers beside it, what is wrong underlined in it and listed under it, words completed.
import { ask } from "./api.js";
import { attempt, h, put } from "./dom.js";
import { candidates } from "./complete.js";
import { plural } from "./format.js";

const LINE = 20, PAUSE_MS = 250;
let editors = 0;

/** Where a diagnostic is in a text: lines and columns count from 1 and in characters, JavaScript's strings do not. */
function place(lines, d) {
  const line = Math.min(Math.max(d.line, 1), lines.length) - 1;
  const begin = lines.slice(0, line).reduce((sum, l) => sum + l.length + 1, 0);
  const all = [...lines[line]];
  const before = all.slice(0, d.column - 1).join("").length;
  const length = all.slice(d.column - 1, d.column - 1 + (d.length || 1)).join("").length;
  return { line, from: begin + before, to: begin + before + length };
}

/** `variables()`: those of the check; `networks()`: how many devices there will be; `check()`: whether it is a Click file. */
export class Editor {
  constructor(label, { variables = () => ({}), networks = () => null, isClick = () => true, changed = () => {} } = {}) {
    Object.assign(this, { variables, networks, isClick, changed });
    const id = `e${editors += 1}`;
    this.text = h("textarea", { rows: "18", wrap: "off", spellcheck: "false", autocapitalize: "off", autocomplete: "off", "aria-label": label, "aria-autocomplete": "list", "aria-describedby": `${id}-verdict` });
    this.numbers = h("pre", { class: "numbers", "aria-hidden": "true" });
    this.marks = h("pre", { class: "marks", "aria-hidden": "true" });
    this.list = h("ul", { class: "completion", role: "listbox", "aria-label": "Completions", id: `${id}-list`, hidden: true });
    this.verdict = h("p", { class: "verdict", role: "status", id: `${id}-verdict` });
    this.places = h("ol", { class: "places", "aria-label": "What is wrong with the configuration" });
    this.element = h("div", {}, h("div", { class: "editor" }, this.numbers, this.marks, this.text, this.list), this.verdict, this.places);
    [this.id, this.found, this.wrong] = [id, [], false];
    this.text.addEventListener("input", () => { this.mark([], []); this.soon(); this.suggest(false); this.changed(); });
    this.text.addEventListener("scroll", () => { this.align(); this.close(); });
    this.text.addEventListener("blur", () => this.close());
    this.text.addEventListener("keydown", (e) => this.pressed(e));
    this.check = attempt(() => this.look());
    this.mark([], []);
  }

  get value() { return this.text.value; }

  set value(text) {
    this.text.value = text;
    this.mark([], []);
    this.soon();
  }

  align() {
    this.marks.scrollTop = this.numbers.scrollTop = this.text.scrollTop;
    this.marks.scrollLeft = this.text.scrollLeft;
  }

  go(d) {
    const { line, from, to } = place(this.value.split("\n"), d);
    this.text.focus();
    this.text.setSelectionRange(from, to);
    this.text.scrollTop = Math.max(0, (line - 3) * LINE);
  }

  /** Underlines and lists errors and warnings together, in the order of the file. */
  mark(errors, warnings) {
    const lines = this.value.split("\n");
    const all = [...errors.map((d) => ({ ...d, kind: "error" })), ...warnings.map((d) => ({ ...d, kind: "warning" }))].sort((a, b) => a.line - b.line || a.column - b.column);
    const kinds = new Map();
    for (const d of all) if (kinds.get(d.line) !== "error") kinds.set(d.line, d.kind);
    this.numbers.replaceChildren(...lines.map((_, n) => (kinds.has(n + 1) ? h("span", { class: kinds.get(n + 1) }, `${n + 1}\n`) : `${n + 1}\n`)));
    const parts = [];
    let done = 0;
    for (const d of all) {
      const { from, to } = place(lines, d);
      if (from < done) continue;
      // What is missing at the end of a line is underlined there.
      parts.push(this.value.slice(done, from), h("mark", { class: d.kind }, this.value.slice(from, to) || " "));
      done = to;
    }
    this.marks.replaceChildren(...parts, `${this.value.slice(done)}\n`);
    this.places.replaceChildren(...all.map((d) => h("li", { class: d.kind }, h("button", { onclick: () => this.go(d) }, `Line ${d.line}, column ${d.column}: ${d.kind === "warning" ? "warning: " : ""}${d.message}`))));
    this.wrong = errors.length > 0;
    this.text.setAttribute("aria-invalid", String(this.wrong));
    this.align();
  }

  /** Marks what a refusal was about, and goes there. */
  refuse(errors) {
    this.mark(errors, []);
    put(this.verdict, plural(errors.length, "error"));
    this.go(errors[0]);
  }

  /** Checks a moment later, when nobody types any more. */
  soon() {
    clearTimeout(this.typing);
    this.typing = setTimeout(this.check, PAUSE_MS);
  }

  async look() {
    const given = this.value;
    if (this.text.readOnly || !this.isClick() || !given.trim()) { this.mark([], []); put(this.verdict, ""); return; }
    const { errors, warnings, devices } = await ask("POST", "/v1/configurations/check", { config: given, variables: this.variables() });
    if (this.value !== given) return;
    this.mark(errors, warnings);
    const has = this.networks();
    const lacks = has !== null && devices.length > has ? `, but it uses ${devices.join(", ")}: give a network for each` : "";
    const also = warnings.length ? `, ${plural(warnings.length, "warning")}` : "";
    put(this.verdict, `${errors.length ? plural(errors.length, "error") : "No errors"}${also}${lacks}`);
    this.changed();
  }

  async suggest(asked) {
    const at = this.text.selectionEnd, given = this.value;
    const { word, list } = await candidates(given, at, asked).catch(() => ({ word: "", list: [] }));
    if (this.value !== given || this.text.selectionEnd !== at || document.activeElement !== this.text) return;
    [this.word, this.found, this.at] = [word, list, -1];
    this.list.replaceChildren(...list.map((c, n) => {
      const item = h("li", { role: "option", id: `${this.id}-${n}`, "aria-selected": "false" }, h("b", {}, c.name), ` ${c.about}`);
      // Before the field loses the focus.
      item.addEventListener("pointerdown", (e) => { e.preventDefault(); this.take(n); });
      return item;
    }));
    this.list.hidden = !list.length;
    if (!list.length) { this.close(); return; }
    const before = given.slice(0, at - word.length).split("\n"), line = before.at(-1).replace(/\t/g, "    ");
    this.list.style.top = `${before.length * LINE + 10 - this.text.scrollTop}px`;
    this.list.style.left = `calc(3.5rem + ${line.length}ch)`;
  }

  close() {
    this.list.hidden = true;
    this.found = [];
    this.text.removeAttribute("aria-activedescendant");
  }

  take(n) {
    const { name, then } = this.found[n], at = this.text.selectionEnd;
    this.text.setSelectionRange(at - this.word.length, at);
    // As if it was typed: Ctrl+Z takes it back.
    document.execCommand("insertText", false, then || name);
    this.close();
  }

  pressed(e) {
    if (e.key === " " && e.ctrlKey) { e.preventDefault(); this.suggest(true); return; }
    if (this.list.hidden || !this.found.length) return;
    const by = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    if (by) {
      this.at = (this.at + by + this.found.length + (this.at < 0 && by < 0 ? 1 : 0)) % this.found.length;
      [...this.list.children].forEach((item, n) => item.setAttribute("aria-selected", String(n === this.at)));
      this.text.setAttribute("aria-activedescendant", `${this.id}-${this.at}`);
    } else if (e.key === "Tab" || (e.key === "Enter" && this.at >= 0)) this.take(Math.max(0, this.at));
    else if (e.key === "Escape") this.close();
    else return;
    e.preventDefault();
  }
}
