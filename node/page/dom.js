// Elements, words to the user, and work whose failure is said. Text is only ever text: nothing here parses markup.

export const $ = (id) => document.getElementById(id);

/** An element: attributes, `on…` listeners, properties that are no strings, and content. */
export function h(kind, attributes = {}, ...content) {
  const made = document.createElement(kind);
  // A button that sends a form says so.
  if (kind === "button") made.type = "button";
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") made[name] = value;
    else if (value !== undefined && value !== null) made.setAttribute(name, value);
  }
  made.append(...content.flat(9).filter((c) => c !== null && c !== undefined && c !== false));
  return made;
}

/** Puts text where other text is; nothing happens if it is the same. */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

let fading;

/** Says something to all, also to those who listen. Good news goes after a while. */
export function say(text, bad = false) {
  clearTimeout(fading);
  put($("words"), text);
  $("news").className = bad ? "bad" : "";
  $("news").hidden = !text;
  if (text && !bad) fading = setTimeout(() => say(""), 6000);
}

/** Does something, and says what went wrong. An outage has a banner of its own. */
export const attempt = (work) => async (...given) => {
  try { return await work(...given); } catch (e) {
    if (!e.lost && e.name !== "AbortError" && e.status !== 401) say(e.message, true);
    return undefined;
  }
};

/** Work that is done once more if it was asked for while it was done. */
export function serial(work) {
  let busy = false, again = false;
  return attempt(async () => {
    if (busy) { again = true; return; }
    busy = true;
    try { do { again = false; await work(); } while (again); } finally { busy = false; }
  });
}

/** A button. */
export const button = (words, then, attributes = {}) => h("button", { onclick: attempt(then), ...attributes }, words);

/** A field for text that is no prose, or of another `type`. */
export const input = (attributes) => h("input", { type: "text", spellcheck: "false", autocomplete: "off", autocapitalize: "off", ...attributes });

/** A choice of strings, or of `[value, words]`. */
export const options = (list) => list.map((o) => (Array.isArray(o) ? h("option", { value: o[0] }, o[1]) : h("option", { value: o }, o || "none")));
export const select = (list, attributes = {}) => h("select", attributes, options(list));

/** A field with its label. */
export const field = (words, input, hint) => h("label", { class: "field" }, h("span", {}, words), input, hint && h("small", {}, hint));

/** A table: heads (strings), a body that `fill` fills. */
export function table(label, heads) {
  const body = h("tbody");
  const head = h("tr", {}, heads.map((words) => h("th", { scope: "col" }, words)));
  return { element: h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": label }, h("table", { "aria-label": label }, h("thead", {}, head), body)), body };
}

const cell = (content) => h("td", { class: typeof content === "object" && content !== null && content.tone ? content.tone : undefined }, content === undefined ? "–" : content instanceof Node ? content : content?.words ?? String(content));

/** Fills a table's body: lists of cells, text or nodes or `{words, tone}`. What would be the same is left alone, so that focus and selection stay. */
export function fill(body, rows) {
  const plain = JSON.stringify(rows, (_, value) => (value instanceof Node ? value.textContent : value));
  if (body.was === plain) return;
  body.was = plain;
  body.replaceChildren(...rows.map((cells) => h("tr", {}, cells.map(cell))));
}

/** Names and values. Texts are put in place, so that nothing moves that did not change. */
export function facts(list, rows) {
  const names = rows.map(([name]) => name).join("\n");
  if (list.was !== names) {
    list.was = names;
    list.replaceChildren(...rows.flatMap(([name]) => [h("dt", {}, name), h("dd")]));
  }
  rows.forEach(([, value], at) => put(list.children[2 * at + 1], value === undefined || value === "" ? "–" : String(value)));
}

/** A word with its colour. */
export const badge = (word) => h("span", { class: `badge ${word}` }, word);
