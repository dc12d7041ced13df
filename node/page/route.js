// Where we are is in the address: `#/instances?q=app%3Dfw&open=edge`. Reload, Back and a shared link show the same.

let changed = () => {};

/** The view and its parameters. */
export function here() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { view: path || "overview", at: new URLSearchParams(query) };
}

export const href = (view, at = {}) => {
  const query = new URLSearchParams(Object.entries(at).filter(([, v]) => v !== undefined && v !== null && v !== ""));
  return `#/${view}${[...query].length ? `?${query}` : ""}`;
};

/** Goes elsewhere: a step that Back undoes. */
export function go(view, at) {
  history.pushState(null, "", href(view, at));
  changed();
}

/** Changes parameters of this view; `null` removes one. With `step`, Back undoes it. */
export function set(changes, step = false) {
  const { view, at } = here();
  const next = href(view, { ...Object.fromEntries(at), ...changes });
  if (next === location.hash) return;
  history[step ? "pushState" : "replaceState"](null, "", next);
  changed();
}

export function whenMoved(then) {
  changed = then;
  window.addEventListener("popstate", () => changed());
}
