// One instance beside the list: a tab each for what it is, how it started, its console, its configuration, its handlers.
import { act, fitting } from "./actions.js";
import { instances, node, on } from "./data.js";
import { badge, button, h, put } from "./dom.js";
import { set } from "./route.js";
import { About } from "./about.js";
import { Configuration } from "./config.js";
import { Console } from "./console.js";
import { Handlers } from "./handlers.js";
import { Start } from "./start.js";

const QUICK = ["start", "stop", "reboot", "resume"];

export class Details {
  constructor(menu) {
    this.menu = menu;
    this.tabs = { overview: new About(), start: new Start(), console: new Console(), config: new Configuration(), handlers: new Handlers() };
    this.heading = h("h2", { tabindex: "-1", id: "h-details" });
    this.state = h("span", { class: "state" });
    this.buttons = h("span", { class: "buttons" });
    this.reason = h("p", { class: "bad reason", hidden: true });
    const close = button("×", () => this.close(), { class: "plain", "aria-label": "Close the details" });
    this.list = h("div", { role: "tablist", "aria-label": "Details", class: "tabs" }, Object.entries(this.tabs).map(([id, tab]) => h("button", { role: "tab", id: `tab-${id}`, "aria-controls": "tab-panel", onclick: () => set({ tab: id === "overview" ? null : id }, true) }, tab.title)));
    this.list.addEventListener("keydown", (e) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[e.key], all = [...this.list.children];
      if (!by) return;
      const next = all[(all.indexOf(document.activeElement) + by + all.length) % all.length];
      next.focus();
      next.click();
    });
    this.panel = h("div", { role: "tabpanel", id: "tab-panel", tabindex: "0" });
    this.element = h("aside", { class: "details", "aria-labelledby": "h-details", hidden: true }, h("div", { class: "top" }, this.heading, this.state, this.buttons, close), this.reason, this.list, this.panel);
    this.element.addEventListener("keydown", (e) => {
      if (e.key !== "Escape" || e.defaultPrevented || e.target.closest("input, textarea, [role=menu]")) return;
      this.close();
    });
    on("instances", () => this.update());
    on("link", () => { this.state.textContent = ""; this.update(); });
    on("usage", () => this.tab?.measured?.(this.now()));
  }

  now() { return instances.get(this.name); }

  close() {
    set({ open: null, tab: null }, true);
    document.querySelector(".grid-instances")?.focus({ preventScroll: true });
  }

  /** Shows an instance in a tab, or nothing. */
  show(name, id) {
    if (!Object.hasOwn(this.tabs, id)) id = "overview";
    const tab = name ? this.tabs[id] : null;
    const isNew = name !== this.name;
    if (!isNew && tab === this.tab) { if (name) this.update(); return; }
    this.tab?.hide?.();
    [this.name, this.tab, this.absent] = [name, tab, false];
    this.element.hidden = !name;
    if (!name) return;
    for (const button of this.list.children) {
      const selected = button.id === `tab-${Object.keys(this.tabs).find((key) => this.tabs[key] === tab)}`;
      button.setAttribute("aria-selected", String(selected));
      button.tabIndex = selected ? 0 : -1;
    }
    this.panel.setAttribute("aria-labelledby", `tab-${id}`);
    this.panel.replaceChildren(tab.element);
    this.fresh = true;
    this.update();
  }

  /** Takes in how it is now. */
  update() {
    if (!this.name || !node.loaded) return;
    const i = this.now();
    put(this.heading, this.name);
    this.heading.title = this.name;
    if (!i) {
      // It is gone, or the address names none.
      put(this.state, "");
      this.buttons.replaceChildren();
      this.reason.hidden = false;
      put(this.reason, "There is no instance of this name (any more).");
      this.list.hidden = this.panel.hidden = true;
      return;
    }
    this.list.hidden = this.panel.hidden = false;
    if (this.state.textContent !== i.state) {
      this.state.replaceChildren(badge(i.state));
      const had = this.buttons.contains(document.activeElement);
      const more = button("More", () => this.menu(i, more), { "aria-haspopup": "menu", "aria-label": `More actions of ${i.name}` });
      this.buttons.replaceChildren(...fitting(i).filter((a) => QUICK.includes(a.id)).map((a) => button(a.words, () => act(a, this.now()))), more);
      if (had) this.heading.focus({ preventScroll: true });
    }
    this.reason.hidden = !i.reason;
    put(this.reason, i.reason || "");
    this.tab.show(i, this.fresh);
    this.fresh = false;
  }
}
