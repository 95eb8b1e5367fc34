// The one stream of server-sent events of this tab.

import { useEffect, useRef, useState } from "preact/hooks";
import { checkQuery, getSession, streamAddress, type Problem } from "./api";

type Listener = (data: any) => void;

/** What the stream can carry. "resync" comes after a gap: ask for lists again. */
type Name = "alert" | "node" | "events" | "status" | "problem" | "resync" | "connection";

const listeners = new Map<Name, Set<Listener>>();
const names: Name[] = ["alert", "node", "events", "status", "problem"];

/** Milliseconds of the first and of the longest wait before trying again. */
const firstWait = 500;
const longestWait = 10_000;

let source: EventSource | undefined;
let timer: ReturnType<typeof setTimeout> | undefined;
let wait = firstWait;
let gap = false;
let wanted = { events: false, query: "" };

function tell(name: Name, data: unknown) {
  for (const f of listeners.get(name) ?? []) f(data);
}

function open() {
  clearTimeout(timer);
  source?.close();
  const s = new EventSource(streamAddress(wanted.events, wanted.query));
  source = s;
  s.addEventListener("hello", () => {
    wait = firstWait;
    tell("connection", true);
    if (gap) tell("resync", null);
    gap = false;
  });
  s.addEventListener("lost", () => tell("resync", null));
  for (const name of names) s.addEventListener(name, (e) => tell(name, JSON.parse((e as MessageEvent).data)));
  s.addEventListener("problem", (e) => eventsLost(JSON.parse(e.data)));
  s.onerror = () => {
    if (s !== source) return;
    // A browser comes back by itself only while it believes in the stream, and
    // then at once; a server that starts deserves patience.
    s.close();
    gap = true;
    tell("connection", false);
    retry(s);
  };
}

/** Opens the stream again once the server knows the session; jittered, so
 * that the tabs of many people do not come all at once. */
function retry(s: EventSource) {
  clearTimeout(timer);
  timer = setTimeout(
    () =>
      getSession().then(
        () => s === source && open(),
        () => s === source && retry(s),
      ),
    wait * (0.5 + Math.random() / 2),
  );
  wait = Math.min(wait * 2, longestWait);
}

/** Starts the stream, at log-in. */
export function connect() {
  gap = false;
  wait = firstWait;
  open();
}

/** Ends it, at log-out. */
export function disconnect() {
  clearTimeout(timer);
  source?.close();
  source = undefined;
}

/** Asks for a sample of the events too, those of a LogsQL filter. A filter
 * that is none is a problem of its own, and not the stream's end. */
export function watchEvents(on: boolean, text: string) {
  if (wanted.events === on && wanted.query === text) return;
  const wish = { events: on, query: text };
  wanted = wish;
  // A wish that is changed again at once opens nothing.
  setTimeout(async () => {
    if (wanted !== wish || !source) return;
    if (on && text) {
      try {
        await checkQuery(text);
      } catch (e) {
        if (wanted === wish && (e as Problem).status === 400) {
          wanted = { events: false, query: "" };
          tell("problem", { detail: (e as Problem).message });
        } else if (wanted !== wish) return;
      }
      if (!source) return;
    }
    // Alerts that change between the two streams would be missed.
    gap = true;
    open();
  }, 0);
}

/** Milliseconds until events are asked for again after the server lost them. */
const eventsWait = 5000;

function eventsLost(p: { status?: number }) {
  const lost = source;
  if ((p.status ?? 0) >= 500) setTimeout(() => lost && lost === source && open(), eventsWait);
}

/** Calls f with what the stream carries, while the component is there. */
export function useLive(name: Name, f: Listener) {
  const latest = useRef(f);
  latest.current = f;
  useEffect(() => {
    const listener: Listener = (data) => latest.current(data);
    const set = listeners.get(name) ?? new Set();
    listeners.set(name, set.add(listener));
    return () => void set.delete(listener);
  }, [name]);
}

/** Whether the stream is there. */
export function useConnection(): boolean {
  const [there, set] = useState(true);
  useLive("connection", set);
  return there;
}
