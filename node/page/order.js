// Which instances a filter means, and in which order they stand.

/**
 * A filter's words, all of which have to hold: `app=fw` a label, `app=` any value of it, `state:failed` or `state:unhealthy`, `net:blue`,
 * `image:clickos`; another word is part of the name, an address, the image or the reason. `-` before a word: not.
 */
export function matcher(text) {
  const tests = text.toLowerCase().split(/\s+/).filter((word) => word && word !== "-").map((word) => {
    const not = word.startsWith("-"), is = test(not ? word.slice(1) : word);
    return not ? (i) => !is(i) : is;
  });
  return (i) => tests.every((is) => is(i));
}

function test(word) {
  const [, kind, value] = /^(state|net|image|name):(.*)$/.exec(word) || [];
  if (kind === "state") return (i) => i.state === value || i.health?.state === value;
  if (kind === "net") return (i) => i.devices.some((d) => d.network.toLowerCase() === value);
  if (kind === "image") return (i) => i.image.toLowerCase() === value;
  if (kind === "name") return (i) => i.name.toLowerCase().includes(value);
  const at = word.indexOf("=");
  if (at > 0) {
    const [label, wanted] = [word.slice(0, at), word.slice(at + 1)];
    return (i) => Object.entries(i.labels || {}).some(([k, v]) => k.toLowerCase() === label && (!wanted || v.toLowerCase() === wanted));
  }
  return (i) => i.name.toLowerCase().includes(word) || i.image.toLowerCase().includes(word) || (i.reason || "").toLowerCase().includes(word) ||
    i.devices.some((d) => (d.address || "").startsWith(word) || (d.address6 || "").startsWith(word) || d.mac === word);
}

const names = new Intl.Collator("en", { numeric: true });
const compare = (a, b) => (typeof a === "number" || typeof b === "number" ? (a ?? -1) - (b ?? -1) : names.compare(a ?? "", b ?? ""));

/**
 * Sorts by a value; what is equal, by name. `former` is how the list stood: if it is `held`, nothing moves under somebody's
 * pointer, and only what is new is put at its place. (It also makes sorting quick: it is nearly sorted already.)
 */
export function arrange(list, valueOf, down, former, held) {
  const value = new Map(list.map((row) => [row.name, valueOf(row)]));
  const before = (a, b) => (down ? -1 : 1) * compare(value.get(a.name), value.get(b.name)) || names.compare(a.name, b.name);
  const now = new Map(list.map((row) => [row.name, row]));
  const kept = [];
  for (const { name } of former) {
    const row = now.get(name);
    if (row) kept.push(row);
    now.delete(name);
  }
  const fresh = [...now.values()];
  if (!held) return kept.concat(fresh).sort(before);
  for (const row of fresh.sort(before)) {
    const at = kept.findIndex((other) => before(row, other) < 0);
    kept.splice(at < 0 ? kept.length : at, 0, row);
  }
  return kept;
}
