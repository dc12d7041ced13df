// The configuration of an instance: shown, edited, compared, swapped while it runs.
import { ask, get, of } from "./api.js";
import { may } from "./data.js";
import { attempt, button, h, put, say } from "./dom.js";
import { shown } from "./diff.js";
import { Editor } from "./editor.js";

export class Configuration {
  constructor() {
    this.title = "Configuration";
    this.drafts = new Map();
    this.editor = new Editor("Configuration", {
      variables: () => this.spec?.variables || {}, networks: () => this.spec?.devices?.length ?? 0, isClick: () => this.image?.config_format === "click", changed: () => this.offer(),
    });
    this.diff = h("pre", { class: "diff", tabindex: "0", role: "region", "aria-label": "Changes", hidden: true });
    this.compare = button("Show changes", () => this.showDiff(), { "aria-pressed": "false" });
    this.swap = button("Swap", () => this.put(), { class: "primary" });
    this.undo = button("Undo changes", () => { this.editor.value = this.given; this.offer(); });
    this.state = h("span", { class: "quiet" });
    this.variables = h("p", { class: "quiet" });
    this.element = h("div", { class: "fills" }, h("p", { class: "tools" }, this.swap, this.compare, this.undo, this.state), this.diff, this.editor.element, this.variables);
  }

  show(i, fresh) {
    this.now = i;
    if (fresh) attempt(() => this.load(i))(); else this.offer();
  }

  hide() {
    if (!this.name) return;
    // What is typed and not swapped is there when one comes back.
    if (this.editor.value === this.given) this.drafts.delete(this.name); else this.drafts.set(this.name, this.editor.value);
  }

  async load(i) {
    this.name = null;
    this.toggle(false);
    const [spec, image] = await Promise.all([get(of(i.name, "/spec")), get(`/v1/images/${encodeURIComponent(i.image)}`).catch(() => null)]);
    if (this.now.name !== i.name) return;
    [this.spec, this.image, this.name, this.given] = [spec, image, i.name, spec.config || ""];
    this.editor.text.readOnly = !may("operate");
    this.editor.value = this.drafts.get(i.name) ?? this.given;
    const variables = Object.entries(spec.variables || {}).map(([k, v]) => `${k}=${v}`).join(" ");
    put(this.variables, variables ? `Variables: ${variables}` : "");
    this.offer();
  }

  /** Offers what can be done now. */
  offer() {
    const differs = this.name && this.editor.value !== this.given;
    for (const b of [this.compare, this.undo]) b.disabled = !differs;
    const ready = this.now?.state === "ready";
    this.swap.hidden = this.undo.hidden = this.compare.hidden = !may("operate");
    this.swap.disabled = !differs || this.editor.wrong || !ready;
    put(this.state, !differs ? "" : this.editor.wrong ? "Changed, and wrong" : ready ? "Changed; a swap loses no packet" : "Changed; it can be swapped while the instance is ready");
    if (!differs) this.toggle(false); else if (!this.diff.hidden) this.diff.replaceChildren(...shown(this.given, this.editor.value));
  }

  toggle(on) {
    this.diff.hidden = !on;
    this.compare.setAttribute("aria-pressed", String(on));
    put(this.compare, on ? "Hide changes" : "Show changes");
  }

  showDiff() {
    this.toggle(this.diff.hidden);
    if (!this.diff.hidden) this.diff.replaceChildren(...shown(this.given, this.editor.value));
  }

  async put() {
    const { name } = this, config = this.editor.value;
    say(`Swapping the configuration of ${name} …`);
    try { await ask("PUT", of(name, "/config"), { config }); } catch (e) {
      if (e.places?.length) this.editor.refuse(e.places);
      throw e;
    }
    say(`${name} runs the new configuration.`);
    this.drafts.delete(name);
    if (this.name === name) { this.given = config; this.offer(); }
  }
}
