// The node's API: one way to ask, with the token if there is one.

const KEY = "microvisor-token";
let onDenied = () => {};

export const denied = (then) => { onDenied = then; };
export const useToken = (token) => sessionStorage.setItem(KEY, token);

/** The path of an instance, or of something of it. */
export const of = (name, rest = "") => `/v1/instances/${encodeURIComponent(name)}${rest}`;

async function send(method, path, body) {
  const headers = {};
  const token = sessionStorage.getItem(KEY);
  if (token) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  if (answer.status === 401) onDenied();
  return answer;
}

/** Asks; the answer as JSON or text. What went wrong is thrown as an Error with the API's own words. */
export async function ask(method, path, body) {
  const answer = await send(method, path, body);
  const isJson = (answer.headers.get("content-type") || "").includes("json");
  const value = isJson ? await answer.json() : await answer.text();
  if (answer.ok) return value;
  const places = value.errors || [];
  const words = places.length ? value.title : value.detail || value.title || `the node answers with status ${answer.status}`;
  const error = new Error(value.hint ? `${words} (${value.hint})` : words);
  error.places = places;
  error.status = answer.status;
  throw error;
}

export const get = (path) => ask("GET", path);

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

/**
 * Follows events for as long as the node lets us; `take` gets each, `live` whether they come. A stream that breaks is
 * begun again.
 */
export async function follow(path, take, live) {
  for (;;) {
    try {
      const answer = await send("GET", path);
      if (answer.status === 401) { live(false); return; }
      if (!answer.ok) throw new Error(answer.status);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      live(true);
      for (let text = "";;) {
        const { done, value } = await reader.read();
        if (done) break;
        const lines = (text + value).split("\n");
        text = lines.pop();
        for (const line of lines) if (line.startsWith("data:")) take(JSON.parse(line.slice(5)));
      }
    } catch { /* The node is gone for a moment. */ }
    live(false);
    await new Promise((then) => setTimeout(then, 1000));
  }
}
