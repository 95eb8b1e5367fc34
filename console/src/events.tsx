// What nodes see: live, or searched in history.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { queryEvents } from "./api";
import { Fields } from "./fields";
import { clock, exactly, instant, number, text } from "./format";
import { useLive, watchEvents } from "./live";
import { go, withParams } from "./route";
import { Choice, Empty, Failure, Shown } from "./ui";
import type { Event } from "./types";

/** Rows kept: a live page forgets the oldest, a search is cut. */
const most = 5000;

/** Pixels; .event in style.css has the same. */
const rowHeight = 28;

type Mode = "live" | "history";

const spans: [string, string][] = [
  ["15m", "15 minutes"],
  ["1h", "1 hour"],
  ["24h", "1 day"],
  ["168h", "7 days"],
  ["720h", "30 days"],
];

/** A sample of the events as they are stored. */
function useSample(on: boolean, query: string) {
  const [rows, setRows] = useState<Event[]>([]);
  const [skipped, setSkipped] = useState(0);
  const [failure, setFailure] = useState("");
  useEffect(() => {
    setRows([]);
    setSkipped(0);
    setFailure("");
  }, [query]);
  useEffect(() => {
    watchEvents(on, query);
    return () => watchEvents(false, "");
  }, [on, query]);
  useLive("events", (sample: { rows: Event[]; skipped: number }) => {
    if (!on) return;
    setFailure("");
    setSkipped((n) => n + sample.skipped);
    setRows((old) => [...sample.rows.toReversed(), ...old].slice(0, most));
  });
  useLive("problem", (p: { detail?: string }) => on && setFailure(p.detail ?? "the events cannot be followed; change the filter"));
  return { rows, skipped, failure, busy: false };
}

/** A search in the history, again with each number. */
function useSearch(on: boolean, query: string, since: string, number: number) {
  const [rows, setRows] = useState<Event[]>([]);
  const [failure, setFailure] = useState("");
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    setRows([]);
    setFailure("");
    if (!on) return;
    const control = new AbortController();
    setBusy(true);
    queryEvents(query, since, most, control.signal, (found) => setRows((old) => [...old, ...found].slice(0, most)))
      .catch((e) => control.signal.aborted || setFailure((e as Error).message))
      .finally(() => control.signal.aborted || setBusy(false));
    return () => control.abort();
  }, [on, query, since, number]);
  return { rows, failure, busy };
}

export function Events({ params }: { params: URLSearchParams }) {
  const mode: Mode = params.get("mode") === "history" ? "history" : "live";
  const used = params.get("q") ?? "";
  const since = params.get("since") ?? "1h";
  const [typed, setTyped] = useState(used);
  const [paused, setPaused] = useState(false);
  const [number_, again] = useState(0);
  const [chosen, setChosen] = useState<Event | null>(null);
  useEffect(() => setTyped(used), [used]);
  useEffect(() => setChosen(null), [mode, used, since]);
  const sample = useSample(mode === "live" && !paused, mode === "live" ? used : "");
  const found = useSearch(mode === "history", used, since, number_);
  const { rows, failure, busy } = mode === "live" ? sample : found;
  const use = (change: Record<string, string>) => go("/events" + withParams(params, change));
  const run = (q: string) => {
    if (q === used) again((n) => n + 1);
    else use({ q });
  };
  const pick = (field: string, value: string) => run([typed.trim(), exactly(field, value)].filter(Boolean).join(" "));
  return (
    <div class={"split events" + (chosen ? " chosen" : "")}>
      <section class="list" aria-label="Events">
        <form
          class="bar"
          onSubmit={(e) => {
            e.preventDefault();
            run(typed.trim());
          }}
        >
          <Choice
            label="Which events"
            value={mode}
            set={(m) => {
              setPaused(false);
              use({ mode: m === "live" ? "" : m, q: typed.trim() });
            }}
            of={[
              ["live", "Live"],
              ["history", "History"],
            ]}
          />
          <input
            type="search"
            class="query"
            aria-label="LogsQL query"
            spellcheck={false}
            placeholder="LogsQL: curl, process.name:=bash"
            value={typed}
            onInput={(e) => setTyped(e.currentTarget.value)}
          />
          {mode === "history" ? (
            <>
              <select aria-label="How far back" value={since} onChange={(e) => use({ since: e.currentTarget.value })}>
                {spans.map(([value, name]) => (
                  <option key={value} value={value}>
                    {name}
                  </option>
                ))}
              </select>
              <button type="submit" class="primary">
                Search
              </button>
            </>
          ) : (
            <>
              <button type="submit">Filter</button>
              <button type="button" class="steady" aria-pressed={paused} onClick={() => setPaused(!paused)}>
                {paused ? "Go on" : "Pause"}
              </button>
            </>
          )}
          <span class="muted tally" role="status">
            {busy ? "searching… " : ""}
            {number(rows.length)}
            {rows.length === most ? "+" : ""} events
            {mode === "history" && ` in ${spans.find(([v]) => v === since)?.[1] ?? since}`}
            {mode === "live" && sample.skipped > 0 && `, ${number(sample.skipped)} too fast to show`}
          </span>
        </form>
        <Failure of={failure} />
        {rows.length === 0 && !busy && !failure && <Nothing mode={mode} paused={paused} filtered={!!used} />}
        {rows.length > 0 && <Rows of={rows} chosen={chosen} choose={setChosen} dated={mode === "history" && !/^(15m|1h)$/.test(since)} />}
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
            <h1>
              <Shown of={text(chosen["event.action"]) || "Row"} />
            </h1>
            <p class="said mono">
              <Shown of={text(chosen["process.command_line"])} />
            </p>
          </header>
          <Fields of={chosen} pick={pick} />
          <p class="muted hint">Press a value to look for it.</p>
        </section>
      )}
    </div>
  );
}

/** Why there are no rows, and what to do about it. */
function Nothing({ mode, paused, filtered }: { mode: Mode; paused: boolean; filtered: boolean }) {
  if (mode === "history") {
    return (
      <Empty title="Nothing found">
        Look further back, or for less. A word alone is looked for in every field; <code>process.name:=bash</code> in one.
      </Empty>
    );
  }
  if (paused) return <Empty title="Paused" />;
  return (
    <Empty title="Waiting for events">
      {filtered ? "What fits the filter appears here as it is stored." : "What the machines see appears here as it is stored. Start any program on one of them."}
    </Empty>
  );
}

interface RowsProps {
  of: Event[];
  chosen: Event | null;
  choose: (e: Event | null) => void;
  dated: boolean;
}

/** Only the rows in sight are in the page. */
function Rows({ of, chosen, choose, dated }: RowsProps) {
  const ref = useRef<HTMLDivElement>(null);
  const head = useRef<Event | undefined>(undefined);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(600);
  useLayoutEffect(() => {
    const watcher = new ResizeObserver(() => setHeight(ref.current?.clientHeight ?? 600));
    watcher.observe(ref.current!);
    return () => watcher.disconnect();
  }, []);
  // Who has scrolled down keeps seeing the same rows while new ones come above.
  useLayoutEffect(() => {
    const above = head.current ? of.indexOf(head.current) : -1;
    head.current = of[0];
    const box = ref.current!;
    if (above > 0 && box.scrollTop > 0) box.scrollTop += above * rowHeight;
  }, [of]);
  const first = Math.max(0, Math.floor(top / rowHeight) - 10);
  const last = Math.min(of.length, Math.ceil((top + height) / rowHeight) + 10);
  const keys = (e: KeyboardEvent) => {
    if (e.key === "Escape") choose(null);
    const step = e.key === "ArrowDown" || e.key === "j" ? 1 : e.key === "ArrowUp" || e.key === "k" ? -1 : 0;
    const at = (chosen ? of.indexOf(chosen) : -1) + step;
    const next = of[at];
    if (!step || !next) return;
    e.preventDefault();
    choose(next);
    const y = at * rowHeight;
    const box = ref.current!;
    if (y < box.scrollTop) box.scrollTop = y;
    if (y + rowHeight > box.scrollTop + box.clientHeight) box.scrollTop = y + rowHeight - box.clientHeight;
  };
  const active = chosen ? of.indexOf(chosen) : -1;
  return (
    <div
      class="virtual"
      ref={ref}
      tabIndex={0}
      role="listbox"
      aria-label="Events; arrow keys move"
      aria-activedescendant={active >= first && active < last ? `event-${active}` : undefined}
      onScroll={(e) => setTop(e.currentTarget.scrollTop)}
      onKeyDown={keys}
    >
      <div style={{ height: `${of.length * rowHeight}px` }}>
        <div style={{ transform: `translateY(${first * rowHeight}px)` }}>
          {of.slice(first, last).map((e, i) => (
            <div
              key={first + i}
              id={`event-${first + i}`}
              role="option"
              class="event"
              aria-selected={e === chosen}
              aria-setsize={of.length}
              aria-posinset={first + i + 1}
              onClick={() => choose(e)}
            >
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
        <Shown
          of={Object.entries(of)
            .map(([k, v]) => `${k}=${text(v)}`)
            .join("   ")}
        />
      </span>
    );
  }
  const get = (name: string) => text(of[name]).slice(0, 400);
  const to = get("destination.ip") && `→ ${get("destination.ip")}:${get("destination.port")}`;
  const more = [get("file.path"), get("dns.question.name"), get("url.original"), to].filter(Boolean).join("  ");
  return (
    <>
      <time>{dated ? instant(time) : clock(time)}</time>
      <span class="host" title={get("host.name")}>
        <Shown of={get("host.name")} />
      </span>
      <span class="kind" data-category={get("event.category")} data-action={get("event.action")}>
        <Shown of={get("event.action")} />
      </span>
      <span class={"user" + (get("user.id") === "0" ? " root" : "")}>
        <Shown of={get("user.name") || get("user.id")} />
      </span>
      <span class="what">
        <Shown of={get("process.command_line") || get("message") || get("process.executable")} />{" "}
        {more && (
          <b>
            <Shown of={more} />
          </b>
        )}
      </span>
    </>
  );
}
