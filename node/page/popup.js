// What opens above the page: a menu of actions, a question, a form.
import { attempt, button, h } from "./dom.js";

let open = null;

function close(back) {
  if (!open) return;
  const { box, from } = open;
  open = null;
  box.remove();
  if (back) (from.isConnected && from.tabIndex >= 0 ? from : from.closest("[role=grid]"))?.focus({ preventScroll: true });
}

/** A menu beside an element: `{words, tone, then}` each. Escape and a click elsewhere close it. */
export function menu(label, from, entries) {
  close(false);
  if (!entries.length) return;
  const items = entries.map(({ words, tone, then }) => h("button", { role: "menuitem", tabindex: "-1", class: tone, onclick: () => { close(true); attempt(then)(); } }, words));
  const box = h("div", { role: "menu", class: "menu", "aria-label": label }, items);
  const step = (by) => items[(items.indexOf(document.activeElement) + by + items.length) % items.length].focus();
  box.addEventListener("keydown", (e) => {
    const act = { ArrowDown: () => step(1), ArrowUp: () => step(-1), Home: () => items[0].focus(), End: () => items.at(-1).focus(), Escape: () => close(true), Tab: () => close(true) }[e.key];
    if (!act) return;
    e.preventDefault();
    e.stopPropagation();
    act();
  });
  document.body.append(box);
  const at = from.getBoundingClientRect();
  box.style.left = `${Math.max(4, Math.min(at.right - box.offsetWidth, innerWidth - box.offsetWidth - 4))}px`;
  box.style.top = `${at.bottom + box.offsetHeight + 4 > innerHeight ? Math.max(4, at.top - box.offsetHeight) : at.bottom}px`;
  open = { box, from };
  items[0].focus();
}
document.addEventListener("pointerdown", (e) => { if (open && !open.box.contains(e.target)) close(false); });

/** A dialog; `done` is called with what its form was sent by, or nothing. */
function dialog(title, content, buttons) {
  const box = h("dialog", { "aria-labelledby": "h-dialog" });
  const form = h("form", { method: "dialog" }, h("h2", { id: "h-dialog" }, title), content, h("p", { class: "buttons" }, buttons));
  box.append(form);
  document.body.append(box);
  box.addEventListener("close", () => box.remove());
  box.showModal();
  return { box, form };
}

/** Asks whether to do something to what is listed; a promise of the answer. */
export function sure(title, verb, names, note) {
  const most = 8, more = names.length - most;
  const list = h("ul", { class: "names" }, names.slice(0, most).map((name) => h("li", {}, name)), more > 0 && h("li", {}, `and ${more} more`));
  const cancel = h("button", { type: "submit", value: "" }, "Cancel");
  const { box } = dialog(title, [list, note && h("p", { class: "note" }, note)], [cancel, h("button", { type: "submit", value: "yes", class: "danger" }, verb)]);
  cancel.focus();
  return new Promise((then) => box.addEventListener("close", () => then(box.returnValue === "yes")));
}

/** A form in a dialog: `then` does the work, and what it refuses is said in the dialog, which stays. */
export function form(title, verb, content, then) {
  const said = h("p", { class: "refusal", role: "alert" });
  const submit = h("button", { type: "submit", class: "primary" }, verb);
  const { box, form: made } = dialog(title, [content, said], [button("Cancel", () => box.close()), submit]);
  made.addEventListener("submit", async (e) => {
    e.preventDefault();
    submit.disabled = true;
    said.textContent = "";
    try {
      await then();
      box.close();
    } catch (problem) { said.textContent = problem.message; }
    submit.disabled = false;
  });
}

/** Shows something with one way out. */
export const show = (title, content) => dialog(title, content, [h("button", { type: "submit", class: "primary" }, "Close")]);
