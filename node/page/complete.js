// What could be meant while a Click file is typed: classes and elements by name, arguments by their keywords.
import { elements } from "./manual.js";

const BACK = 4000, MOST = 8;

/** The class in whose parentheses the end of a text is, if it is in any. */
function within(text) {
  let depth = 0;
  for (let at = text.length - 1; at >= 0; at -= 1) {
    const c = text[at];
    if (c === ")") depth += 1;
    else if (c === "(" && depth > 0) depth -= 1;
    else if (c === "(") return /([A-Za-z_]\w*)\s*$/.exec(text.slice(0, at))?.[1] ?? null;
    else if (c === ";") return null;
  }
  return null;
}

/** Candidates for the word that ends at a place: `{word, list: [{name, about}]}`. `asked`: though it is short. */
export async function candidates(text, at, asked) {
  const before = text.slice(Math.max(0, at - BACK), at);
  const word = /[A-Za-z_]\w*$/.exec(before)?.[0] ?? "";
  const line = before.slice(before.lastIndexOf("\n") + 1);
  if ((word.length < 2 && !asked) || line.includes("//")) return { word, list: [] };
  const all = await elements(), low = word.toLowerCase();
  const fits = (name) => name.toLowerCase().startsWith(low) && name !== word;
  const outer = within(before.slice(0, before.length - word.length));
  const of = outer && all.find((e) => e.name === outer);
  let list;
  if (of) list = of.keywords.filter(fits).map((name) => ({ name, about: `argument of ${outer}`, then: `${name} ` }));
  else {
    const declared = [...new Set([...text.slice(0, 1 << 16).matchAll(/\b([a-z_]\w*)\s*(?:,\s*\w+\s*)*::/g)].map((m) => m[1]))];
    list = declared.filter(fits).map((name) => ({ name, about: "element of this file" }));
    list.push(...all.filter((e) => fits(e.name)).map((e) => ({ name: e.name, about: e.summary })));
    // What only contains the word is less likely.
    if (low.length > 2) list.push(...all.filter((e) => !e.name.toLowerCase().startsWith(low) && e.name.toLowerCase().includes(low)).map((e) => ({ name: e.name, about: e.summary })));
  }
  return { word, list: list.slice(0, MOST) };
}
