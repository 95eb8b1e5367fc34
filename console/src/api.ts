// Every call of the REST API that the console makes (api/openapi.yaml).

import type { Alert, AlertDetail, Event, Exception, ExceptionInput, Node, Page, Session, State } from "./types";

/** A problem (RFC 9457) the server answered with, or a server that is away. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly word: string,
    message: string,
  ) {
    super(message);
  }
}

/** Called when the session has ended. */
let onLoggedOut = () => {};
export const whenLoggedOut = (f: () => void) => {
  onLoggedOut = f;
};

async function problemOf(response: Response): Promise<Problem> {
  try {
    const p = await response.json();
    return new Problem(response.status, String(p.type ?? "").replace("urn:hauberk:problem:", ""), p.detail || p.title);
  } catch {
    return new Problem(response.status, "", `the server answered ${response.status}; its log says why`);
  }
}

async function send(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      signal,
      credentials: "same-origin",
      headers: body === undefined ? undefined : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (e) {
    if (signal?.aborted) throw e;
    throw new Problem(0, "away", "the server does not answer; check that hauberk runs, then try again");
  }
  if (response.ok) return response;
  const problem = await problemOf(response);
  if (problem.status === 401 && problem.word !== "credentials") onLoggedOut();
  throw problem;
}

async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const response = await send(method, path, body);
  return response.status === 204 || response.headers.get("Content-Length") === "0" ? (undefined as T) : response.json();
}

function query(params: Record<string, string | number | undefined>): string {
  const q = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== "") q.set(name, String(value));
  }
  const text = q.toString();
  return text && "?" + text;
}

const at = (id: string) => encodeURIComponent(id);

// Sessions.

export const getSession = () => call<Session>("GET", "/api/v1/session");
export const logIn = (username: string, password: string) => call<Session>("POST", "/api/v1/session", { username, password });
export const logOut = () => call<void>("DELETE", "/api/v1/session");
export const changePassword = (current: string, next: string) => call<Session>("PUT", "/api/v1/session/password", { current, new: next });

// Alerts and exceptions.

export interface AlertFilter {
  state?: string;
  severity?: string;
  text?: string;
  technique?: string;
  rule?: string;
  node?: string;
}

export const listAlerts = (f: AlertFilter, cursor?: string) => call<Page<Alert>>("GET", "/api/v1/alerts" + query({ ...f, limit: 100, cursor }));
export const getAlert = (id: string) => call<AlertDetail>("GET", `/api/v1/alerts/${at(id)}`);
export const changeAlert = (id: string, state: State, comment = "") => call<AlertDetail>("POST", `/api/v1/alerts/${at(id)}/state`, { state, comment });
export const exceptAlert = (id: string, e: ExceptionInput) => call<Exception>("POST", `/api/v1/alerts/${at(id)}/exception`, e);
export const listExceptions = () => call<Page<Exception>>("GET", "/api/v1/exceptions");
export const deleteException = (id: string) => call<void>("DELETE", `/api/v1/exceptions/${at(id)}`);

// Nodes.

export const listNodes = (limit: number) => call<Page<Node>>("GET", "/api/v1/nodes" + query({ limit }));
export const getNode = (id: string) => call<Node>("GET", `/api/v1/nodes/${at(id)}`);

// Events.

/** Searches events; each gets rows as they arrive. */
export const queryEvents = (text: string, since: string, limit: number, signal: AbortSignal, each: (rows: Event[]) => void) =>
  lines("/api/v1/events/query" + query({ query: text, since, limit }), signal, each);

/** Fails if the query is not one. */
export const checkQuery = (text: string) => queryEvents(text, "1s", 1, AbortSignal.timeout(10_000), () => {});

/** The address of the stream of server-sent events; events asks for a sample of these too. */
export const streamAddress = (events: boolean, text: string) =>
  "/api/v1/stream" + query({ topics: events ? "alerts,nodes,events" : "alerts,nodes", query: events ? text : "" });

/** Reads a stream of one JSON object per line; a problem at its end is thrown. */
async function lines<T>(path: string, signal: AbortSignal, each: (rows: T[]) => void): Promise<void> {
  const response = await send("GET", path, undefined, signal);
  const reader = response.body!.pipeThrough(new TextDecoderStream() as unknown as ReadableWritablePair<string, BufferSource>).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    const parts = (rest + (value ?? "")).split("\n");
    rest = done ? "" : parts.pop()!;
    const rows: T[] = [];
    for (const part of parts) {
      if (!part) continue;
      const row = JSON.parse(part);
      if (row.problem?.status) throw new Problem(row.problem.status, "", row.problem.detail);
      rows.push(row);
    }
    if (rows.length) each(rows);
    if (done) return;
  }
}
