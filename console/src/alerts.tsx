// The list of alerts, and beside it the one that is chosen.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { call, get, query } from "./api";
import { AlertPanel } from "./alert";
import { visible } from "./format";
import { useLive } from "./live";
import { go, link } from "./route";
import { Ago, Choice, Empty, Failure, StateTag, useKeys, useNow } from "./ui";
import type { Alert, Page, Session, Severity, State } from "./types";

const severities: Severity[] = ["informational", "low", "medium", "high", "critical"];

interface Filter {
  state: State | "all";
  severity: Severity;
  text: string;
}

const parameters = (f: Filter, cursor?: string) =>
  query({ state: f.state === "all" ? "" : f.state, severity: f.severity === "informational" ? "" : f.severity, text: f.text, limit: 100, cursor });

/** Whether the server's list with this filter would have the alert. */
function fits(a: Alert, f: Filter): boolean {
  const text = f.text.toLowerCase();
  return (
    (f.state === "all" || a.state === f.state) &&
    severities.indexOf(a.severity) >= severities.indexOf(f.severity) &&
    (!text || [a.rule_name, a.summary, a.host].some((s) => s.toLowerCase().includes(text)))
  );
}

/** Puts a changed alert where it belongs, last seen first. */
function merge(list: Alert[], a: Alert, f: Filter, keep?: string): Alert[] {
  const old = list.find((x) => x.id === a.id);
  if (old && old.version > a.version) return list;
  const rest = list.filter((x) => x.id !== a.id);
  // The alert that is being read stays where it is when its state changes.
  if (!fits(a, f) && a.id !== keep) return rest;
  if (old && old.last_seen === a.last_seen) return list.map((x) => (x.id === a.id ? a : x));
  const at = rest.findIndex((x) => x.last_seen <= a.last_seen);
  rest.splice(at < 0 ? rest.length : at, 0, a);
  return rest;
}

function useAlerts(filter: Filter, keep?: string) {
  const [list, setList] = useState<Alert[] | null>(null);
  const [next, setNext] = useState<string | undefined>();
  const [fresh, setFresh] = useState<Set<string>>(new Set());
  const [failure, setFailure] = useState("");
  const load = useCallback(async () => {
    try {
      const page = await get<Page<Alert>>("/api/v1/alerts" + parameters(filter));
      setFailure("");
      setList(page.items);
      setNext(page.next);
    } catch (e) {
      setFailure((e as Error).message);
    }
  }, [filter.state, filter.severity, filter.text]);
  useEffect(() => {
    const timer = setTimeout(load, filter.text ? 200 : 0);
    return () => clearTimeout(timer);
  }, [load]);
  useLive("resync", load);
  useLive("alert", (a: Alert) => {
    setList((old) => {
      if (!old) return old;
      if (!old.some((x) => x.id === a.id) && fits(a, filter)) setFresh((f) => new Set(f).add(a.id));
      return merge(old, a, filter, keep);
    });
  });
  const more = async () => {
    try {
      const page = await get<Page<Alert>>("/api/v1/alerts" + parameters(filter, next));
      setList((old) => [...(old ?? []), ...page.items.filter((a) => !old?.some((x) => x.id === a.id))]);
      setNext(page.next);
    } catch (e) {
      setFailure((e as Error).message);
    }
  };
  return { list, next, more, fresh, failure };
}

export function Alerts({ session, id }: { session: Session; id?: string }) {
  const [filter, setFilter] = useState<Filter>({ state: "open", severity: "informational", text: "" });
  const { list, next, more, fresh, failure } = useAlerts(filter, id);
  const now = useNow();
  const search = useRef<HTMLInputElement>(null);
  const chosen = useRef<HTMLAnchorElement>(null);
  useEffect(() => chosen.current?.scrollIntoView({ block: "nearest" }), [id]);
  useKeys((e) => {
    const at = list?.findIndex((a) => a.id === id) ?? -1;
    const step = e.key === "j" || e.key === "ArrowDown" ? 1 : e.key === "k" || e.key === "ArrowUp" ? -1 : 0;
    const target = step && list?.[at < 0 ? 0 : at + step];
    if (target) {
      e.preventDefault();
      go("/alerts/" + encodeURIComponent(target.id), true);
    } else if (e.key === "/") {
      e.preventDefault();
      search.current?.focus();
    } else if (e.key === "Escape" && id) {
      go("/alerts");
    } else if (id && session.role !== "viewer" && (e.key === "a" || e.key === "c")) {
      call("POST", `/api/v1/alerts/${encodeURIComponent(id)}/state`, { state: e.key === "a" ? "acknowledged" : "closed" }).catch(() => {});
    }
  });
  return (
    <div class={"split" + (id ? " chosen" : "")}>
      <section class="list" aria-label="Alerts">
        <header class="bar">
          <Choice
            label="State"
            value={filter.state}
            set={(state) => setFilter({ ...filter, state })}
            of={[
              ["open", "Open"],
              ["acknowledged", "Acknowledged"],
              ["closed", "Closed"],
              ["all", "All"],
            ]}
          />
          <select aria-label="Severity at least" value={filter.severity} onChange={(e) => setFilter({ ...filter, severity: e.currentTarget.value as Severity })}>
            <option value="informational">Any severity</option>
            {severities.slice(1).map((s) => (
              <option key={s} value={s}>
                {s}
                {s === "critical" ? "" : " or higher"}
              </option>
            ))}
          </select>
          <input
            ref={search}
            type="search"
            aria-label="Text in rule, summary or host"
            placeholder="Rule, summary or host  /"
            value={filter.text}
            onInput={(e) => setFilter({ ...filter, text: e.currentTarget.value })}
            onKeyDown={(e) => e.key === "Escape" && e.currentTarget.blur()}
          />
        </header>
        <Failure of={failure} />
        {list?.length === 0 && (
          <Empty title={filter.state === "open" && !filter.text ? "Nothing to look at" : "No alert fits"}>
            {filter.state === "open" && !filter.text
              ? "No alert is open. New ones appear here by themselves, the moment they are found."
              : "Widen the state, the severity or the text."}
          </Empty>
        )}
        <div class="rows">
          {list?.map((a) => (
            <a
              key={a.id}
              ref={a.id === id ? chosen : undefined}
              class={`alert ${a.severity}` + (fresh.has(a.id) ? " fresh" : "")}
              aria-current={a.id === id ? "true" : undefined}
              {...link("/alerts/" + encodeURIComponent(a.id))}
            >
              <span class="line">
                <strong>{visible(a.rule_name)}</strong>
                {a.count > 1 && (
                  <span class="fold" title={`${a.count} repeats folded`}>
                    ×{a.count}
                  </span>
                )}
                <span class="when">
                  <Ago time={a.last_seen} now={now} />
                </span>
              </span>
              <span class="line second">
                <span class="host">{visible(a.host)}</span>
                <span class="summary">{visible(a.summary)}</span>
              </span>
              <span class="line third">
                <span class={`severity-word ${a.severity}`}>{a.severity}</span>
                {a.techniques.slice(0, 3).map((t) => (
                  <span key={t} class="technique">
                    {t}
                  </span>
                ))}
                {a.state !== "open" && <StateTag of={a.state} />}
              </span>
            </a>
          ))}
          {next && (
            <button type="button" class="more" onClick={more}>
              Older alerts
            </button>
          )}
        </div>
      </section>
      {id ? (
        <AlertPanel key={id} id={id} session={session} />
      ) : (
        <section class="panel idle">
          <Empty title="Choose an alert">
            <kbd>j</kbd> <kbd>k</kbd> move, <kbd>a</kbd> acknowledge, <kbd>c</kbd> close, <kbd>/</kbd> search
          </Empty>
        </section>
      )}
    </div>
  );
}
