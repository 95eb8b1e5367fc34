// What nodes see: live, or searched in history.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { lines, query } from "./api";
import { Fields } from "./fields";
import { clock, instant, number, text, visible } from "./format";
import { useLive, watchEvents } from "./live";
import { Choice, Empty, Failure } from "./ui";
import type { Event } from "./types";

/** Rows kept: a live page forgets the oldest, a search is cut. */
const most = 5000;

/** Pixels; .event in style.css has the same. */
const rowHeight = 28;

type Mode = "live" | "search";

export function Events() {
  const [mode, setMode] = useState<Mode>("live");
  const [typed, setTyped] = useState("");
  const [used, setUsed] = useState("");
  const [since, setSince] = useState("1h");
  const [rows, setRows] = useState<Event[]>([]);
  const [skipped, setSkipped] = useState(0);
  const [paused, setPaused] = useState(false);
  const [chosen, setChosen] = useState<Event | null>(null);
  const [failure, setFailure] = useState("");
  const [busy, setBusy] = useState(false);
  const running = useRef<AbortController | undefined>(undefined);

  useEffect(() => {
    watchEvents(mode === "live" && !paused, used);
    return () => watchEvents(false, "");
  }, [mode, paused, used]);
  useEffect(() => () => running.current?.abort(), []);
  useLive("events", (sample: { rows: Event[]; skipped: number }) => {
    if (mode !== "live" || paused) return;
    setSkipped((n) => n + sample.skipped);
    setRows((old) => [...sample.rows.toReversed(), ...old].slice(0, most));
  });
  useLive("problem", (p: { detail?: string }) => mode === "live" && setFailure(p.detail ?? "the events cannot be followed"));

  const search = async (q: string, span: string) => {
    running.current?.abort();
    const control = new AbortController();
    running.current = control;
    setBusy(true);
    setRows([]);
    let n = 0;
    try {
      await lines<Event>("/api/v1/events/query" + query({ query: q, since: span, limit: most }), control.signal, (found) => {
        n += found.length;
        setRows((old) => [...old, ...found].slice(0, most));
      });
      setFailure("");
    } catch (e) {
      if (control.signal.aborted) return;
      setFailure((e as Error).message);
    }
    setBusy(false);
  };
  const run = (q = typed, m = mode, span = since) => {
    setFailure("");
    setChosen(null);
    setTyped(q);
    setUsed(q);
    if (m === "search") search(q, span);
    else {
      setRows([]);
      setSkipped(0);
    }
  };
  const pick = (field: string, value: string) => {
    const word = `${field}:=${JSON.stringify(value)}`;
    run(typed.trim() ? `${typed.trim()} ${word}` : word);
  };
  return (
    <div class={"split events" + (chosen ? " chosen" : "")}>
      <section class="list" aria-label="Events">
        <form
          class="bar"
          onSubmit={(e) => {
            e.preventDefault();
            run();
          }}
        >
          <Choice
            label="Which events"
            value={mode}
            set={(m) => {
              running.current?.abort();
              setMode(m);
              setPaused(false);
              run(typed, m);
            }}
            of={[
              ["live", "Live"],
              ["search", "History"],
            ]}
          />
          <input
            type="search"
            class="query"
            aria-label="LogsQL query"
            spellcheck={false}
            placeholder='LogsQL: curl   process.executable:"/usr/bin/bash"   event.category:network'
            value={typed}
            onInput={(e) => setTyped(e.currentTarget.value)}
          />
          {mode === "search" ? (
            <>
              <select
                aria-label="How far back"
                value={since}
                onChange={(e) => {
                  setSince(e.currentTarget.value);
                  run(typed, mode, e.currentTarget.value);
                }}
              >
                <option value="15m">15 minutes</option>
                <option value="1h">1 hour</option>
                <option value="24h">1 day</option>
                <option value="168h">7 days</option>
                <option value="720h">30 days</option>
              </select>
              <button type="submit" class="primary">
                Search
              </button>
            </>
          ) : (
            <>
              <button type="submit">Filter</button>
              <button type="button" aria-pressed={paused} onClick={() => setPaused(!paused)}>
                {paused ? "Go on" : "Pause"}
              </button>
            </>
          )}
          <span class="muted tally" aria-live="polite">
            {busy ? "searching…" : `${number(rows.length)}${rows.length === most ? "+" : ""} events`}
            {skipped > 0 && `, ${number(skipped)} too fast to show`}
          </span>
        </form>
        <Failure of={failure} />
        {rows.length === 0 && !busy && !failure && (
          <Empty title={mode === "live" ? (paused ? "Paused" : "Waiting for events") : "Nothing found"}>
            {mode === "live"
              ? "What the nodes see appears here as it is stored."
              : "Look further back, or for less. Words alone are looked for in every field."}
          </Empty>
        )}
        {rows.length > 0 && <Rows of={rows} chosen={chosen} choose={setChosen} dated={mode === "search" && !/^(15m|1h)$/.test(since)} />}
      </section>
      {chosen && (
        <section class="panel" aria-label="Event">
          <header class="head">
            <div class="line">
              <span class="muted">{instant(String(chosen["@timestamp"] ?? chosen["_time"] ?? ""))}</span>
              <button type="button" class="quiet close" aria-label="Close" onClick={() => setChosen(null)}>
                ✕
              </button>
            </div>
            <h1>{text(chosen["event.action"]) || "Row"}</h1>
            <p class="said">{text(chosen["process.command_line"])}</p>
          </header>
          <Fields of={chosen} pick={pick} />
        </section>
      )}
    </div>
  );
}

/** Only the rows in sight are in the page. */
function Rows({ of, chosen, choose, dated }: { of: Event[]; chosen: Event | null; choose: (e: Event) => void; dated: boolean }) {
  const ref = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(600);
  useLayoutEffect(() => {
    const watcher = new ResizeObserver(() => setHeight(ref.current?.clientHeight ?? 600));
    watcher.observe(ref.current!);
    return () => watcher.disconnect();
  }, []);
  const first = Math.max(0, Math.floor(top / rowHeight) - 10);
  const last = Math.min(of.length, Math.ceil((top + height) / rowHeight) + 10);
  const move = (e: KeyboardEvent) => {
    const step = e.key === "ArrowDown" ? 1 : e.key === "ArrowUp" ? -1 : 0;
    if (!step) return;
    e.preventDefault();
    const next = of[(chosen ? of.indexOf(chosen) : -1) + step];
    if (next) {
      choose(next);
      const y = of.indexOf(next) * rowHeight;
      const box = ref.current!;
      if (y < box.scrollTop) box.scrollTop = y;
      if (y + rowHeight > box.scrollTop + box.clientHeight) box.scrollTop = y + rowHeight - box.clientHeight;
    }
  };
  return (
    <div class="virtual" ref={ref} tabIndex={0} role="grid" aria-rowcount={of.length} aria-label="Events, arrow keys move" onScroll={(e) => setTop(e.currentTarget.scrollTop)} onKeyDown={move}>
      <div style={{ height: `${of.length * rowHeight}px` }}>
        <div style={{ transform: `translateY(${first * rowHeight}px)` }}>
          {of.slice(first, last).map((e, i) => (
            <div key={first + i} role="row" class="event" aria-selected={e === chosen} onClick={() => choose(e)}>
              <Row of={e} dated={dated} />
            </div>
          ))}
        </div>
      </div>
    </div>
  );
}

function Row({ of, dated }: { of: Event; dated: boolean }) {
  const time = of["@timestamp"] as string | undefined;
  if (!time) {
    // A row of a pipe such as stats has fields of its own.
    return (
      <span class="what">
        {Object.entries(of)
          .map(([k, v]) => `${k}=${text(v)}`)
          .join("   ")}
      </span>
    );
  }
  const get = (name: string) => text(of[name]);
  const what = get("process.command_line") || get("message") || get("process.executable");
  const more = [get("file.path"), get("dns.question.name"), get("url.original"), get("destination.ip") && `→ ${get("destination.ip")}:${get("destination.port")}`].filter(Boolean).join("  ");
  return (
    <>
      <time>{dated ? instant(time) : clock(time)}</time>
      <span class="host">{get("host.name")}</span>
      <span class={`kind ${get("event.category")}`}>{get("event.action")}</span>
      <span class="user">{visible(get("user.name") || get("user.id"))}</span>
      <span class="what">
        {what} {more && <b>{more}</b>}
      </span>
    </>
  );
}
