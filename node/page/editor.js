// The Click file: line numbers beside it, mistakes underlined in it and listed under it.
import { ask } from "./api.js";
import { $, attempt, element } from "./dom.js";

const text = $("config"), marks = $("marks"), numbers = $("numbers");
let isClick = () => true;
let typing;

/** Says which images take a Click file: a function of nothing. */
export const onlyIf = (condition) => { isClick = condition; };

/** Variables as they are written, one a line. */
export function variables() {
  const lines = $("variables").value.split("\n").map((l) => l.trim()).filter(Boolean);
  return Object.fromEntries(lines.map((l) => { const at = l.indexOf("="); return at < 0 ? [l, ""] : [l.slice(0, at), l.slice(at + 1)]; }));
}

/** Networks in the order of the devices. */
export const networks = () => $("networks").value.split(/[\s,]+/).filter(Boolean);

function align() {
  marks.scrollTop = text.scrollTop;
  marks.scrollLeft = text.scrollLeft;
  numbers.scrollTop = text.scrollTop;
}

/** Where a line begins, and where in it a column is: columns count characters, JavaScript's strings do not. */
function place(lines, error) {
  const line = Math.min(Math.max(error.line, 1), lines.length) - 1;
  const begin = lines.slice(0, line).reduce((sum, l) => sum + l.length + 1, 0);
  const before = [...lines[line]].slice(0, error.column - 1).join("");
  const word = /^\w+|^./u.exec(lines[line].slice(before.length));
  return { line, begin, from: before.length, length: word ? word[0].length : 0 };
}

/** Goes to a mistake. */
function go(error) {
  const { line, begin, from, length } = place(text.value.split("\n"), error);
  text.focus();
  text.setSelectionRange(begin + from, begin + from + length);
  text.scrollTop = Math.max(0, (line - 3) * 20);
}

/** Underlines what is wrong from its column to the end of its word, and lists it, and what is probably not as meant. */
export function mark(errors, warnings = []) {
  const lines = text.value.split("\n");
  const wrong = new Set(errors.map((e) => e.line));
  numbers.replaceChildren(...lines.map((_, i) => element("span", wrong.has(i + 1) ? { class: "bad" } : {}, `${i + 1}\n`)));
  const parts = [];
  let done = 0;
  const found = errors.map((e) => place(lines, e)).sort((a, b) => a.begin + a.from - b.begin - b.from);
  for (const { begin, from, length } of found) {
    if (begin + from < done) continue;
    // What is missing at the end of a line is underlined there.
    const here = text.value.slice(begin + from, begin + from + length) || " ";
    parts.push(text.value.slice(done, begin + from), element("mark", {}, here));
    done = begin + from + length;
  }
  marks.replaceChildren(...parts, `${text.value.slice(done)}\n`);
  const entry = (kind) => (e) => {
    const link = element("button", { type: "button" }, `Line ${e.line}, column ${e.column}: ${kind}${e.message}`);
    link.addEventListener("click", () => go(e));
    return element("li", {}, link);
  };
  $("errors").replaceChildren(...errors.map(entry("")), ...warnings.map(entry("warning: ")));
  text.setAttribute("aria-invalid", errors.length > 0);
  align();
}

/** Marks what a refusal was about, and goes there. */
export function refuse(errors) {
  mark(errors);
  $("verdict").textContent = errors.length === 1 ? "1 error" : `${errors.length} errors`;
  go(errors[0]);
}

/** Checks what is there. */
const check = attempt(async () => {
  const given = text.value;
  if (!isClick() || !given.trim()) { mark([]); $("verdict").textContent = ""; return; }
  const { errors, warnings, devices } = await ask("POST", "/v1/configurations/check", { config: given, variables: variables() });
  if (text.value !== given) return;
  mark(errors, warnings);
  const lacks = devices.length > networks().length ? `, but it uses ${devices.join(", ")}: give a network for each` : "";
  $("verdict").textContent = errors.length ? `${errors.length} error${errors.length > 1 ? "s" : ""}` : `No errors${lacks}`;
});

/** Checks a moment later, when nobody types any more. */
export function soon() {
  clearTimeout(typing);
  typing = setTimeout(check, 250);
}

text.addEventListener("input", () => { mark([]); soon(); });
text.addEventListener("scroll", align);
for (const id of ["variables", "networks", "image"]) $(id).addEventListener("input", soon);
mark([]);
