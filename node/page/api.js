// The node's API: one way to ask, with the token if there is one.

const KEY = "microvisor-token";
let onDenied = () => {};

export const denied = (then) => { onDenied = then; };
export const useToken = (token) => sessionStorage.setItem(KEY, token);

const headers = (more) => {
  const token = sessionStorage.getItem(KEY);
  return token ? { ...more, authorization: `Bearer ${token}` } : more;
};

/** Asks; the answer as JSON or text. What went wrong is thrown as an Error with the API's own words. */
export async function ask(method, path, body) {
  const answer = await fetch(path, {
    method,
    headers: headers(body === undefined ? {} : { "content-type": "application/json" }),
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const isJson = (answer.headers.get("content-type") || "").includes("json");
  const value = isJson ? await answer.json() : await answer.text();
  if (answer.ok) return value;
  if (answer.status === 401) onDenied();
  const error = new Error(value.detail ? `${value.detail}${value.hint ? ` (${value.hint})` : ""}` : String(value));
  error.places = value.errors || [];
  throw error;
}

export const get = (path) => ask("GET", path);

/** Follows events for ever; `take` gets each. A stream that breaks is begun again. */
export async function follow(path, take) {
  for (;;) {
    try {
      const answer = await fetch(path, { headers: headers({}) });
      if (answer.status === 401) return onDenied();
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      take(null);
      for (let text = "";;) {
        const { done, value } = await reader.read();
        if (done) break;
        const lines = (text + value).split("\n");
        text = lines.pop();
        for (const line of lines) if (line.startsWith("data:")) take(JSON.parse(line.slice(5)));
      }
    } catch { /* The node is gone for a moment. */ }
    await new Promise((then) => setTimeout(then, 1000));
  }
}
