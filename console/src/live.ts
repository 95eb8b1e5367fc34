// The one stream of server-sent events of this tab.

import { useEffect, useRef, useState } from "preact/hooks";
import { get, query } from "./api";

type Listener = (data: any) => void;

/** What the stream can carry. "resync" comes after a gap: ask for lists again. */
type Name = "alert" | "node" | "events" | "status" | "problem" | "resync" | "connection";

const listeners = new Map<Name, Set<Listener>>();
const names: Name[] = ["alert", "node", "events", "status", "problem"];

let source: EventSource | undefined;
let timer: ReturnType<typeof setTimeout> | undefined;
let wait = 500;
let heard = false;
let wanted: { events: boolean; query: string } = { events: false, query: "" };

function tell(name: Name, data: unknown) {
  for (const f of listeners.get(name) ?? []) f(data);
}

function open() {
  clearTimeout(timer);
  source?.close();
  const s = new EventSource(
    "/api/v1/stream" + query({ topics: wanted.events ? "alerts,nodes,events" : "alerts,nodes", query: wanted.events ? wanted.query : "" }),
  );
  source = s;
  s.addEventListener("hello", () => {
    wait = 500;
    tell("connection", true);
    if (heard) tell("resync", null);
    heard = true;
  });
  s.addEventListener("lost", () => tell("resync", null));
  for (const name of names) s.addEventListener(name, (e) => tell(name, JSON.parse((e as MessageEvent).data)));
  s.onerror = () => {
    tell("connection", false);
    if (s !== source) return;
    // A browser comes back by itself only while it believes in the stream, and
    // then at once; a server that starts deserves patience.
    s.close();
    clearTimeout(timer);
    timer = setTimeout(() => {
      get("/api/v1/session").then(open, () => source === s && retry());
    }, wait);
    wait = Math.min(wait * 2, 10_000);
  };
}

function retry() {
  clearTimeout(timer);
  timer = setTimeout(() => get("/api/v1/session").then(open, retry), wait);
  wait = Math.min(wait * 2, 10_000);
}

/** Starts the stream, at log-in. */
export function connect() {
  heard = false;
  open();
}

/** Ends it, at log-out. */
export function disconnect() {
  clearTimeout(timer);
  source?.close();
  source = undefined;
}

/** Asks for a sample of the events too, those of a LogsQL filter. */
export function watchEvents(on: boolean, text: string) {
  if (wanted.events === on && wanted.query === text) return;
  wanted = { events: on, query: text };
  if (source) {
    heard = false; // it is not a gap
    open();
  }
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
