// What differs between two texts, line by line.
import { h } from "./dom.js";

// Larger middles are shown as a whole: first what goes, then what comes.
const CELLS = 4e6, CONTEXT = 3;

/** Lines as `[sign, text]`: ` ` stays, `-` goes, `+` comes (longest common subsequence of what is between equal ends). */
export function differences(before, after) {
  const [a, b] = [before.split("\n"), after.split("\n")];
  let from = 0, ends = 0;
  while (from < a.length && from < b.length && a[from] === b[from]) from += 1;
  while (ends < a.length - from && ends < b.length - from && a[a.length - 1 - ends] === b[b.length - 1 - ends]) ends += 1;
  const [x, y] = [a.slice(from, a.length - ends), b.slice(from, b.length - ends)];
  const lines = a.slice(0, from).map((l) => [" ", l]);
  if ((x.length + 1) * (y.length + 1) > CELLS) lines.push(...x.map((l) => ["-", l]), ...y.map((l) => ["+", l]));
  else {
    const wide = y.length + 1, best = new Int32Array((x.length + 1) * wide);
    for (let i = x.length - 1; i >= 0; i -= 1) {
      for (let j = y.length - 1; j >= 0; j -= 1) best[i * wide + j] = x[i] === y[j] ? best[(i + 1) * wide + j + 1] + 1 : Math.max(best[(i + 1) * wide + j], best[i * wide + j + 1]);
    }
    for (let i = 0, j = 0; i < x.length || j < y.length;) {
      if (i < x.length && j < y.length && x[i] === y[j]) { lines.push([" ", x[i]]); i += 1; j += 1; } else if (i < x.length && (j === y.length || best[(i + 1) * wide + j] >= best[i * wide + j + 1])) lines.push(["-", x[i++]]);
      else lines.push(["+", y[j++]]);
    }
  }
  return lines.concat(a.slice(a.length - ends).map((l) => [" ", l]));
}

/** The same as nodes, with some lines around each change. */
export function shown(before, after) {
  const lines = differences(before, after);
  const near = new Set();
  lines.forEach(([sign], at) => { if (sign !== " ") for (let i = at - CONTEXT; i <= at + CONTEXT; i += 1) near.add(i); });
  const parts = [];
  lines.forEach(([sign, text], at) => {
    if (!near.has(at)) { if (near.has(at - 1)) parts.push(h("span", { class: "gap" }, "⋯\n")); return; }
    parts.push(h(sign === "-" ? "del" : sign === "+" ? "ins" : "span", {}, `${sign} ${text}\n`));
  });
  return parts.length ? parts : ["Nothing differs."];
}
