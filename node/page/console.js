// The console of an instance: what it says, as it says it, and a line to type into it.
import { ask, getOr, of, stream } from "./api.js";
import { may } from "./data.js";
import { attempt, h, input } from "./dom.js";
import { plain } from "./format.js";

// As much as the node keeps; a guest may write for ever.
const KEPT = 64 << 10;
const LINE = 4096, LINES = 50;

export class Console {
  constructor() {
    this.title = "Console";
    this.said = h("pre", { class: "console", tabindex: "0", role: "log", "aria-label": "Console", "aria-live": "off" });
    this.line = input({ maxlength: String(LINE - 1), "aria-label": "Type into the console", placeholder: "Type a line: help" });
    this.typing = h("form", { class: "typing" }, this.line, h("button", { type: "submit" }, "Send"));
    this.note = h("p", { class: "note" });
    this.element = h("div", { class: "fills" }, this.said, this.typing, this.note);
    [this.past, this.at] = [[], 0];
    this.typing.addEventListener("submit", (e) => { e.preventDefault(); this.send(); });
    this.line.addEventListener("keydown", (e) => this.recall(e));
    this.send = attempt(async () => {
      const input = this.line.value;
      this.line.value = "";
      if (input && this.past.at(-1) !== input) this.past.push(input);
      this.past.splice(0, this.past.length - LINES);
      this.at = this.past.length;
      await ask("POST", of(this.name, "/console"), { input: `${input}\n` });
    });
  }

  show(i, fresh) {
    const run = `${i.name} ${i.pid ?? ""}`;
    const answers = i.state === "ready" || i.state === "starting" || i.state === "paused";
    this.typing.hidden = !(answers && may("operate"));
    this.note.textContent = answers ? (i.image === "clickos" ? "ClickOS knows: help, list, read ELEMENT.HANDLER, write ELEMENT.HANDLER VALUE, stats." : "") : "It does not run: these were its last words.";
    if (!fresh && run === this.run) return;
    [this.run, this.name] = [run, i.name];
    this.hide();
    this.text = "";
    this.draw();
    if (answers) this.follow(); else this.last();
  }

  hide() {
    this.stop?.abort();
    this.stop = null;
  }

  /** Follows as long as this is shown and the run lasts. */
  async follow() {
    const stop = this.stop = new AbortController(), { name } = this;
    try {
      await stream(of(name, "/console?follow=true"), (text) => { if (stop === this.stop) this.add(text); }, stop.signal, 0);
    } catch {
      if (stop === this.stop) this.last();
    }
    // Another run has another process, and begins anew.
    if (stop === this.stop) this.run = "";
  }

  async last() {
    const { run } = this, said = await getOr("", of(this.name, "/console"));
    if (run !== this.run) return;
    this.text = "";
    this.add(said);
  }

  add(text) {
    this.text = (this.text + text).slice(-KEPT);
    // Once a frame, however often a guest writes.
    this.frame ||= requestAnimationFrame(() => { this.frame = 0; this.draw(); });
  }

  draw() {
    const box = this.said, atEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 8;
    box.textContent = plain(this.text);
    if (atEnd) box.scrollTop = box.scrollHeight;
  }

  recall(e) {
    const by = { ArrowUp: -1, ArrowDown: 1 }[e.key];
    if (!by || !this.past.length) return;
    e.preventDefault();
    this.at = Math.min(this.past.length, Math.max(0, this.at + by));
    this.line.value = this.past[this.at] ?? "";
  }
}
