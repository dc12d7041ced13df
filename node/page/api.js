// The node's API: one way to ask, with the token if there is one, and word of whether the node answers at all.

const KEY = "microvisor-token";
// What may take long has no deadline of ours: starts and stops have the node's own.
const LOOK_MS = 15000, SILENT_MS = 40000;

/** Whether the node answers, and since when it does not (milliseconds since 1970). */
export const link = { up: true, lost: 0 };
let onDenied = () => {}, onLink = () => {};

export const whenDenied = (then) => { onDenied = then; };
export const whenLink = (then) => { onLink = then; };
export const useToken = (token) => sessionStorage.setItem(KEY, token);
export const hasToken = () => Boolean(sessionStorage.getItem(KEY));
export const forgetToken = () => sessionStorage.removeItem(KEY);

/** The path of an instance, or of something of it. */
export const of = (name, rest = "") => `/v1/instances/${encodeURIComponent(name)}${rest}`;

function connected(up) {
  if (link.up === up) return;
  link.up = up;
  if (!up) link.lost = Date.now();
  onLink(up);
}

async function send(method, path, body, signal, kind = "application/json") {
  const headers = {};
  const token = sessionStorage.getItem(KEY);
  if (token) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers["content-type"] = kind;
  let answer;
  try {
    answer = await fetch(path, { method, headers, body, signal });
  } catch (e) {
    if (signal && signal.aborted && signal.reason !== "late") throw e;
    connected(false);
    throw Object.assign(new Error("The node does not answer."), { lost: true });
  }
  if (answer.status === 401) onDenied();
  return answer;
}

/** An answer's value as JSON or text. What went wrong is thrown as an Error with the API's own words. */
async function value(answer) {
  const isJson = (answer.headers.get("content-type") || "").includes("json");
  const value = isJson ? await answer.json() : await answer.text();
  if (answer.ok) return value;
  const places = value.errors || [];
  const words = places.length ? value.title : value.detail || value.title || `the node answers with status ${answer.status}`;
  const error = new Error(value.hint ? `${words} (${value.hint})` : words);
  throw Object.assign(error, { places, status: answer.status });
}

/** Asks. */
export async function ask(method, path, body, kind) {
  return value(await send(method, path, body === undefined ? undefined : JSON.stringify(body), undefined, kind));
}

/** Sends a file as it is. */
export const upload = async (path, file) => value(await send("POST", path, file, undefined, "application/octet-stream"));

export async function get(path) {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort("late"), LOOK_MS);
  try { return await value(await send("GET", path, undefined, late.signal)); } finally { clearTimeout(timer); }
}

/** What an answer is, or something else if there is none. */
export const getOr = (otherwise, path) => get(path).catch(() => otherwise);

/** All instances, page by page. */
export async function everything() {
  const all = [];
  for (let next = ""; next !== undefined;) {
    const page = await get(`/v1/instances?limit=1000&after=${next}`);
    all.push(...page.instances);
    next = page.next;
  }
  return all;
}

/** Text that goes on: `take` gets each piece, until the end, `signal`, or a silence that is too long. */
export async function stream(path, take, signal, silent = SILENT_MS) {
  const own = new AbortController();
  signal?.addEventListener("abort", () => own.abort());
  const answer = await send("GET", path, undefined, own.signal);
  if (!answer.ok) return value(answer);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  take("", answer);
  for (;;) {
    const timer = silent && setTimeout(() => own.abort("late"), silent);
    const { done, value: text } = await reader.read().finally(() => clearTimeout(timer));
    if (done) return undefined;
    take(text, answer);
  }
}

/**
 * Follows events for as long as we are let in; `take` gets each. A stream that breaks is begun again; each time it has, `begun` is
 * called: what is read from then on misses nothing.
 */
export async function follow(take, begun) {
  for (;;) {
    let rest = "", first = true;
    try {
      await stream("/v1/events/watch", (text) => {
        connected(true);
        if (first) begun();
        first = false;
        const lines = (rest + text).split("\n");
        rest = lines.pop();
        for (const line of lines) if (line.startsWith("data:")) take(JSON.parse(line.slice(5)));
      });
    } catch (e) {
      if (e.status === 401) return;
    }
    connected(false);
    await new Promise((then) => setTimeout(then, 1000));
  }
}
