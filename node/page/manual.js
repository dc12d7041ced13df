// The manual of elements: their list for completion, and their pages.
import { get } from "./api.js";
import { h } from "./dom.js";

let list = null;
const pages = new Map();

/** All elements; read once. */
export const elements = () => (list ||= get("/v1/elements").catch((e) => { list = null; throw e; }));

/** A page; read once. */
export function page(name) {
  if (!pages.has(name)) pages.set(name, get(`/v1/elements/${encodeURIComponent(name)}`).catch((e) => { pages.delete(name); throw e; }));
  return pages.get(name);
}

/** Words with `code` in them. */
const words = (text) => text.split("`").map((part, at) => (at % 2 ? h("code", {}, part) : part));

/** The part of Markdown that the manual is written in: headings, lists, code, paragraphs. */
export function rendered(text) {
  const made = [];
  let items = null, lines = [], code = null;
  const flush = () => {
    if (lines.length) (items ? items.at(-1) : made.at(-1)).append(...words(lines.join(" ")));
    lines = [];
  };
  const end = () => { flush(); items = null; };
  for (const line of text.split("\n")) {
    if (line.startsWith("```")) {
      if (code) { made.push(h("pre", {}, code.join("\n"))); code = null; } else { end(); code = []; }
    } else if (code) code.push(line);
    else if (/^#+ /.test(line)) { end(); made.push(h("h4", {}, line.replace(/^#+ /, ""))); } else if (line.startsWith("- ")) {
      flush();
      if (!items) { const box = h("ul"); made.push(box); items = []; items.box = box; }
      items.push(h("li"));
      items.box.append(items.at(-1));
      lines.push(line.slice(2));
    } else if (!line.trim()) end();
    else {
      if (!lines.length && !items) made.push(h("p"));
      lines.push(line.trim());
    }
  }
  end();
  return made;
}

/** An element's page as nodes. */
export async function manualPage(name) {
  const found = await page(name);
  const mode = (x) => (x.read && x.write ? "read and write" : x.read ? "read" : "write");
  return [
    h("h3", {}, found.name), ...rendered(found.manual || ""),
    h("p", { class: "quiet" }, `Ports ${found.ports}, ${found.processing}`),
    found.handlers.length ? h("ul", { class: "quiet" }, found.handlers.map((x) => h("li", {}, h("code", {}, x.name), ` ${mode(x)}`))) : null,
  ];
}
