// A new instance.
import { ask, get } from "./api.js";
import { attempt, button, field, h, input, options, put, say, select } from "./dom.js";
import { ms, pairs } from "./format.js";
import { Editor } from "./editor.js";
import { go } from "./route.js";

const shown = (n) => [n.name, [n.name, n.subnet, n.subnet6].filter(Boolean).join(", ")];

export class Create {
  constructor() {
    this.title = "New instance";
    this.role = "operate";
    this.name = input({ maxlength: "63", id: "new-name", placeholder: "made up if empty" });
    this.image = h("select", { id: "new-image", onchange: () => this.editor.soon() });
    this.flavor = h("select");
    this.restart = select(["never", "on-failure", "always"]);
    this.idle = input({ type: "number", min: "1", placeholder: "always there" });
    this.labels = h("textarea", { rows: "2", placeholder: "app=fw", spellcheck: "false" });
    this.variables = h("textarea", { rows: "2", placeholder: "ADDR=10.0.0.9", spellcheck: "false", oninput: () => this.editor.soon() });
    this.devices = h("div", { class: "devices" });
    this.template = h("select", { id: "template", onchange: () => this.fromTemplate() });
    this.editor = new Editor("Configuration", { variables: () => pairs(this.variables.value), networks: () => this.devices.children.length, isClick: () => this.images?.find((i) => i.name === this.image.value)?.config_format === "click" });
    this.editor.text.id = "config";
    this.submit = h("button", { type: "submit", class: "primary" }, "Start");
    const form = h("form", { class: "create" },
      h("div", { class: "fields" }, field("Name", this.name), field("Image", this.image), field("Flavor", this.flavor), field("Restart", this.restart), field("On demand: idle seconds", this.idle), field("Labels, one a line", this.labels), field("Variables, one a line", this.variables)),
      h("fieldset", {}, h("legend", {}, "Devices, in order"), this.devices, button("Add a device", () => this.device())),
      h("p", { class: "tools" }, field("Begin with", this.template), h("small", {}, "Ctrl+Space completes names of elements and arguments.")),
      this.editor.element, h("p", {}, this.submit));
    form.addEventListener("submit", (e) => { e.preventDefault(); this.create(); });
    this.create = attempt(() => this.send());
    this.element = h("section", { class: "page", "aria-labelledby": "h-new" }, h("h2", { id: "h-new" }, "New instance"), form);
  }

  show() { attempt(() => this.load())(); }

  happened(event) { if (event.kind.startsWith("network.")) this.show(); }

  async load() {
    const [images, flavors, networks, examples] = await Promise.all([get("/v1/images"), get("/v1/flavors"), get("/v1/networks"), this.examples ?? get("/v1/configurations/examples")]);
    Object.assign(this, { images, networks, examples });
    const offer = (box, list, chosen) => { box.replaceChildren(...options(list)); box.value = chosen; };
    offer(this.image, images.map((i) => i.name), this.image.value || "clickos");
    offer(this.flavor, [["", "none"], ...flavors.map((f) => f.name)], this.flavor.value);
    if (!this.template.options.length) offer(this.template, [["", "an empty file"], ...examples.map((e) => [e.name, `${e.name}: ${e.about}`])], "");
    if (!this.devices.children.length && networks.length) this.device();
    for (const box of this.devices.querySelectorAll("select")) offer(box, networks.map(shown), box.value || networks[0]?.name);
  }

  device() {
    if (!this.networks.length) { say("There are no networks yet: the view “Network” makes one.", true); return; }
    const n = this.devices.children.length;
    const network = select(this.networks.map(shown), { "aria-label": `Network of eth${n}` });
    const address = input({ "aria-label": `Address of eth${n}`, placeholder: "address: the next free one" });
    const address6 = input({ "aria-label": `IPv6 address of eth${n}`, placeholder: "IPv6 address: the next free one" });
    const spoof = h("input", { type: "checkbox" });
    const row = h("p", { class: "tools device" }, h("b"), network, address, address6, h("label", {}, spoof, " may send from any address"), button("Remove", () => { row.remove(); this.number(); }));
    row.read = () => ({ network: network.value, ...(address.value.trim() && { address: address.value.trim() }), ...(address6.value.trim() && { address6: address6.value.trim() }), ...(spoof.checked && { anti_spoofing: false }) });
    this.devices.append(row);
    this.number();
  }

  number() {
    [...this.devices.children].forEach((row, n) => { row.firstChild.textContent = `eth${n}`; });
    this.editor.soon();
  }

  fromTemplate() {
    const example = this.examples.find((e) => e.name === this.template.value);
    this.editor.value = example ? example.config : "";
  }

  async send() {
    if (this.busy) return;
    this.busy = this.submit.disabled = true;
    const spec = { image: this.image.value, devices: [...this.devices.children].map((row) => row.read()), variables: pairs(this.variables.value), labels: pairs(this.labels.value), restart: this.restart.value };
    if (this.name.value) spec.name = this.name.value;
    if (this.editor.value.trim()) spec.config = this.editor.value;
    if (this.flavor.value) spec.flavor = this.flavor.value;
    if (this.idle.value) spec.on_demand = { idle_s: Number(this.idle.value) };
    say("Starting …");
    try {
      const made = await ask("POST", "/v1/instances", spec);
      say(made.ready_ns ? `${made.name} is ready after ${ms(made.ready_ns)} ms.` : `${made.name} is ${made.state}.`);
      put(this.editor.verdict, "");
      // Who went elsewhere meanwhile stays there.
      if (this.element.isConnected) go("instances", { open: made.name });
    } catch (e) {
      if (e.places?.length) this.editor.refuse(e.places);
      throw e;
    } finally { this.busy = this.submit.disabled = false; }
  }
}
