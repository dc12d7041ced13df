// What every view uses: elements by id, news, tables that keep the focus.

export const $ = (id) => document.getElementById(id);
export const ms = (ns) => (ns / 1e6).toFixed(2);

/** Says something to all, also to those who listen. */
export function say(text, bad = false) {
  $("news").textContent = text;
  $("news").className = bad ? "bad" : "";
}

/** Does something, and says what went wrong. */
export const attempt = (work) => async (...given) => {
  try { return await work(...given); } catch (e) { say(e.message, true); return undefined; }
};

/** An element with attributes and content. */
export function element(kind, attributes = {}, ...content) {
  const made = document.createElement(kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...content);
  return made;
}

/** A button that says more to those who do not see where it is. */
export function button(words, label, then) {
  const made = element("button", { type: "button", "aria-label": label }, words);
  made.addEventListener("click", attempt(then));
  return made;
}

/** A cell whose word has a colour too. */
export const state = (word) => element("td", { class: word }, word);

/** Puts text where other text is, and nothing happens if it is the same. */
export function put(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

const cell = (content) => (content instanceof HTMLTableCellElement ? content : element("td", {}, content instanceof Node ? content : String(content)));

/**
 * Fills a table. `list` has rows: a key, and cells. A table that would be the same is left alone; the focus stays at
 * its button, or goes to its row's first if that is gone: the name, since another action is not what was meant.
 */
export function rows(id, list) {
  const body = document.querySelector(`#${id} tbody`);
  const made = list.map(([key, cells]) => element("tr", { "data-key": key }, ...cells.map(cell)));
  const draft = element("tbody", {}, ...made);
  if (draft.innerHTML === body.innerHTML) return;
  const had = body.contains(document.activeElement) ? document.activeElement : null;
  const row = had && had.closest("tr").dataset.key;
  body.replaceChildren(...made);
  if (!had) return;
  const now = [...body.rows].find((r) => r.dataset.key === row);
  const buttons = now ? [...now.querySelectorAll("button")] : [];
  const same = buttons.find((b) => b.ariaLabel === had.ariaLabel);
  (same || buttons[0] || $("main")).focus({ preventScroll: true });
}
