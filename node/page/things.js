// Images, flavors and tokens: what there is, and what the API lets one make and remove.
import { ask, get, upload } from "./api.js";
import { may } from "./data.js";
import { attempt, button, field, fill, h, input, say, select, table } from "./dom.js";
import { bytes, moment } from "./format.js";
import { form, show, sure } from "./popup.js";

/** A view of one table, with a button that makes something. */
class Things {
  constructor({ title, path, heads, row, make, verb, role = "admin", empty }) {
    Object.assign(this, { title, path });
    this.needed = role;
    this.table = table(`List of ${title.toLowerCase()}`, [...heads, h("span", { class: "unseen" }, "Actions")]);
    this.make = button(verb, () => make(() => this.show()), { class: "primary" });
    this.empty = h("p", { class: "empty", hidden: true }, empty);
    this.element = h("section", { class: "page", "aria-labelledby": `h-${title}` }, h("p", { class: "tools" }, h("h2", { id: `h-${title}` }, title), this.make), this.table.element, this.empty);
    this.read = attempt(async () => {
      const list = await get(path);
      this.empty.hidden = list.length > 0;
      this.table.element.hidden = !list.length;
      fill(this.table.body, list.map((x) => [...row(x), may(role) ? this.remover(x) : ""]));
    });
  }

  show() {
    this.make.hidden = !may(this.needed);
    this.read();
  }

  happened(event) { if (event.kind.startsWith("image.")) this.read(); }

  remover(x) {
    if (x.built_in) return "";
    return button("Delete", async () => {
      if (!await sure(`Delete ${x.name}?`, "Delete", [x.name], this.warning)) return;
      await ask("DELETE", `${this.path}/${encodeURIComponent(x.name)}`);
      say(`${x.name} is deleted.`);
      this.read();
    }, { "aria-label": `Delete ${x.name}` });
  }
}

const number = (attributes) => input({ type: "number", step: "any", ...attributes });

function importImage(then) {
  const name = input({ required: "", maxlength: "63" }), file = h("input", { type: "file" }), url = input({ placeholder: "https://…" }), id = input({ placeholder: "hexadecimal, 64 digits" });
  form("Import an image", "Import", [field("Name", name), field("File", file, "a guest in ring 3 (ELF), or the archive of a Linux guest’s bundle"), field("or URL that the node fetches", url), field("SHA-256 that it must have", id)], async () => {
    const query = new URLSearchParams({ name: name.value, ...(url.value && { url: url.value }), ...(id.value && { id: id.value }) });
    if (!url.value && !file.files.length) throw new Error("Choose a file, or give a URL.");
    await upload(`/v1/images?${query}`, url.value ? new Blob() : file.files[0]);
    say(`${name.value} is imported.`);
    then();
  });
}

const SIZES = [["memory_mib", "Memory, MiB"], ["cpu_percent", "Most CPU, percent of one"], ["cpu_shares", "CPU shares"], ["send_mbit", "Sends, Mbit/s"], ["receive_mbit", "Receives, Mbit/s"], ["queue", "Queue, entries"], ["poll_us", "Polls, µs"], ["vcpus", "Processors (Linux)"], ["disk_mib", "Disk, MiB (Linux)"]];

function makeFlavor(then) {
  const name = input({ required: "", maxlength: "63" }), cpus = input({ placeholder: "any; or 0 1" });
  const sizes = SIZES.map(([key, words]) => [key, words, number({ min: "0" })]);
  const prepared = h("input", { type: "checkbox" });
  prepared.checked = true;
  form("New flavor", "Create", [field("Name", name), h("div", { class: "fields" }, sizes.map(([, words, input]) => field(words, input)), field("Runs on processors", cpus)), h("label", {}, prepared, " takes prepared guests")], async () => {
    const made = { name: name.value };
    for (const [key, , input] of sizes) if (input.value) made[key] = Number(input.value);
    if (cpus.value.trim()) made.cpus = cpus.value.trim().split(/[\s,]+/).map(Number);
    if (!prepared.checked) made.prepared = false;
    await ask("POST", "/v1/flavors", made);
    say(`Flavor ${made.name} is there.`);
    then();
  });
}

const DAY_NS = 86400e9;

function makeToken(then) {
  const name = input({ required: "", maxlength: "63" }), days = number({ min: "1", placeholder: "never" });
  const role = select([["read", "read: look at everything"], ["operate", "operate: also instances"], ["admin", "admin: everything"]]);
  form("New token", "Create", [field("Name", name), field("Role", role), field("Expires after days", days)], async () => {
    const wished = { name: name.value, role: role.value };
    if (days.value) wished.expires_unix_ns = Math.round(Date.now() * 1e6 + Number(days.value) * DAY_NS);
    const made = await ask("POST", "/v1/tokens", wished);
    then();
    show(`Token ${made.name}`, [h("p", {}, "It is shown this once. The node keeps only its digest."), h("pre", { class: "secret", tabindex: "0" }, made.token)]);
  });
}

export const images = () => new Things({
  title: "Images", path: "/v1/images", heads: ["Name", "Kind", "Size", "Memory", "Configuration", "From", "SHA-256"], verb: "Import an image", make: importImage, empty: "There are no images.",
  row: (i) => [i.name, i.kind, bytes(i.size), `${i.memory_mib} MiB`, i.config_format || "none", i.built_in ? "MicroVisor" : "import", h("code", { title: i.id }, i.id.slice(0, 12))],
});

export const flavors = () => new Things({
  title: "Flavors", path: "/v1/flavors", heads: ["Name", "Memory", "CPU", "Processors", "Rates, Mbit/s", "Other"], verb: "New flavor", make: makeFlavor, empty: "There are no flavors yet: an instance has what its image asks for.",
  row: (f) => [
    f.name, f.memory_mib ? `${f.memory_mib} MiB` : "–", [f.cpu_percent && `${f.cpu_percent} %`, f.cpu_shares && `${f.cpu_shares} shares`].filter(Boolean).join(", ") || "–", f.cpus?.join(" ") ?? "any",
    [f.send_mbit && `${f.send_mbit} out`, f.receive_mbit && `${f.receive_mbit} in`].filter(Boolean).join(", ") || "–",
    [f.queue && `queue ${f.queue}`, f.poll_us !== undefined && `polls ${f.poll_us} µs`, f.vcpus && `${f.vcpus} vCPUs`, f.disk_mib && `disk ${f.disk_mib} MiB`, f.prepared === false && "never prepared"].filter(Boolean).join(", ") || "–",
  ],
});

export const tokens = () => new Things({
  title: "Tokens", path: "/v1/tokens", heads: ["Name", "Role", "Expires", "Last used"], verb: "New token", make: makeToken, empty: "There are no tokens.",
  row: (t) => [t.name, t.role, t.expires_unix_ns ? { words: moment(t.expires_unix_ns), tone: t.expires_unix_ns < Date.now() * 1e6 ? "bad" : "" } : "never", t.used_unix_ns ? moment(t.used_unix_ns) : "never"],
});
