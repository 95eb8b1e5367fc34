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

/** A value of an event as text; show it through Shown or visible. */
export function text(v: unknown): string {
  if (v === undefined || v === null) return "";
  return Array.isArray(v) ? v.map(quoted).join(" ") : String(v);
}

/** A LogsQL filter for exactly this value of a field. */
export const exactly = (field: string, value: string) => `${/^[\w.]+$/.test(field) ? field : JSON.stringify(field)}:=${JSON.stringify(value)}`;

/** An argument as a shell would want it, so that its ends can be seen. */
export function quoted(arg: unknown): string {
  const s = String(arg);
  return /^[\w@%+=:,./~-]+$/.test(s) ? s : `'${s.replaceAll("'", `'\\''`)}'`;
}

// Control characters, those that turn the direction of writing or take no
// room, and halves of surrogate pairs: each could make a command look like
// another one, or a line like two.
const hidden =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}\ud800-\udfff]/gu;

const named: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function escape(c: string): string {
  const code = c.codePointAt(0)!;
  if (named[c]) return named[c];
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\u{${code.toString(16)}}`;
}

/** Shows what cannot be seen as an escape. */
export const visible = (s: string): string => s.replace(hidden, escape);

/** The same in pieces, so that an escape can look different from its letters. */
export function pieces(s: string): { text: string; escaped: boolean }[] {
  const out: { text: string; escaped: boolean }[] = [];
  let last = 0;
  for (const m of s.matchAll(hidden)) {
    if (m.index > last) out.push({ text: s.slice(last, m.index), escaped: false });
    out.push({ text: escape(m[0]), escaped: true });
    last = m.index + m[0].length;
  }
  if (last < s.length) out.push({ text: s.slice(last), escaped: false });
  return out;
}
