// Calls of the REST API.

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
    return new Problem(response.status, "", `the server answered ${response.status}`);
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
    throw new Problem(0, "away", "the server does not answer");
  }
  if (response.ok) return response;
  const problem = await problemOf(response);
  if (problem.status === 401 && problem.word !== "credentials") onLoggedOut();
  throw problem;
}

export async function call<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const response = await send(method, path, body, signal);
  return response.status === 204 ? (undefined as T) : response.json();
}

export const get = <T>(path: string, signal?: AbortSignal) => call<T>("GET", path, undefined, signal);

/** Reads a stream of one JSON object per line; a problem at its end is thrown. */
export async function lines<T>(path: string, signal: AbortSignal, each: (rows: T[]) => void): Promise<void> {
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
      if (row.problem) throw new Problem(row.problem.status, "", row.problem.detail);
      rows.push(row);
    }
    if (rows.length) each(rows);
    if (done) return;
  }
}

export function query(params: Record<string, string | number | undefined>): string {
  const q = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== "") q.set(name, String(value));
  }
  const text = q.toString();
  return text && "?" + text;
}
