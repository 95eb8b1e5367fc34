// How values are shown.

const units: [number, string][] = [
  [86400, "d"],
  [3600, "h"],
  [60, "m"],
  [1, "s"],
];

/** "3m ago"; the exact instant belongs in a title. */
export function ago(time: string | undefined, now: number): string {
  if (!time) return "";
  const seconds = (now - Date.parse(time)) / 1000;
  if (seconds < 1.5) return "now";
  for (const [size, unit] of units) {
    if (seconds >= size) return `${Math.floor(seconds / size)}${unit} ago`;
  }
  return "now";
}

/** An instant in the reader's own zone. */
export function instant(time: string | undefined): string {
  if (!time) return "";
  const d = new Date(time);
  const two = (n: number) => String(n).padStart(2, "0");
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${clock(time)}`;
}

/** The time of day, with milliseconds. */
export function clock(time: string | undefined): string {
  if (!time) return "";
  const d = new Date(time);
  const two = (n: number) => String(n).padStart(2, "0");
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}.${String(d.getMilliseconds()).padStart(3, "0")}`;
}

export function bytes(n: number): string {
  let unit = 0;
  while (n >= 1024 && unit < 5) {
    n /= 1024;
    unit++;
  }
  return `${n >= 100 || unit === 0 ? Math.round(n) : n.toFixed(1)} ${["B", "KiB", "MiB", "GiB", "TiB", "PiB"][unit]}`;
}

export const number = (n: number) => n.toLocaleString("en-US");

/** A value of an event as text. */
export function text(v: unknown): string {
  if (v === undefined || v === null) return "";
  return visible(Array.isArray(v) ? v.map(quoted).join(" ") : String(v));
}

/** An argument as a shell would want it, so that its ends can be seen. */
export function quoted(arg: unknown): string {
  const s = String(arg);
  return /^[\w@%+=:,./~-]+$/.test(s) ? s : `'${s.replaceAll("'", `'\\''`)}'`;
}

// Control characters and those that turn the direction of writing, which
// could make a command look like another one.
const hidden = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** Shows what cannot be seen as an escape. */
export function visible(s: string): string {
  return s.replace(hidden, (c) => {
    const code = c.charCodeAt(0);
    return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}
