// Numbers, times and names as people read them.

const group = new Intl.NumberFormat("en-US");
const PREFIXES = ["", "k", "M", "G", "T"];

export const whole = (n) => group.format(Math.round(n));
export const ms = (ns) => (ns / 1e6).toFixed(2);

/** Three digits and a prefix: 1.25 k. */
export function rate(n) {
  if (!(n >= 0)) return "–";
  let at = 0;
  for (; n >= 1000 && at < PREFIXES.length - 1; at += 1) n /= 1000;
  return `${n >= 100 || at === 0 ? Math.round(n) : n.toFixed(n >= 10 ? 1 : 2)}${PREFIXES[at] && ` ${PREFIXES[at]}`}`;
}

/** Bytes, in MiB or what fits. */
export function bytes(n) {
  if (!(n >= 0)) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  for (; n >= 1024 && at < units.length - 1; at += 1) n /= 1024;
  return `${at === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[at]}`;
}

export const percent = (share) => (share >= 0 ? `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %` : "–");

/** A moment of this day as a time, another with its date. */
export function moment(unixNs) {
  if (!unixNs) return "–";
  const at = new Date(unixNs / 1e6), two = (n) => String(n).padStart(2, "0");
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  if (at.toDateString() === new Date().toDateString()) return time;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${time}`;
}

export function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} days`;
}

/** At most so many characters. */
export const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/** Text of a guest: colours of terminals and other control characters are left out. */
export const plain = (text) => text.replace(/\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|.)/g, "").replace(/[^\P{Cc}\n\t]/gu, "");

export const plural = (n, word) => `${whole(n)} ${word}${n === 1 ? "" : "s"}`;

/** Addresses of a device; without one, where it is on its link. */
export const addresses = (d) => [d.address, d.address6].filter(Boolean).join(" ") || d.mac;

/** Labels as text. */
export const labelText = (labels) => Object.entries(labels || {}).map(([k, v]) => (v ? `${k}=${v}` : k)).join(" ");

/** `NAME=VALUE`, one a line, as an object. */
export const pairs = (text) => Object.fromEntries(text.split("\n").map((l) => l.trim()).filter(Boolean).map((l) => {
  const at = l.indexOf("=");
  return at < 0 ? [l, ""] : [l.slice(0, at), l.slice(at + 1)];
}));
