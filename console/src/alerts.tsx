// The list of alerts, and beside it the one that is chosen.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { changeAlert, listAlerts, type AlertFilter } from "./api";
import { AlertPanel } from "./alert";
import { visible } from "./format";
import { useLive } from "./live";
import { go, link, withParams } from "./route";
import { Ago, Choice, Empty, Failure, Shown, StateTag, useKeys, useNow } from "./ui";
import type { Alert, Session, Severity, Status } from "./types";

const severities: Severity[] = ["informational", "low", "medium", "high", "critical"];

/** The filter that the address bar says; without a state it is the open ones. */
function filterOf(params: URLSearchParams): AlertFilter {
  const get = (name: string) => params.get(name) ?? "";
  const state = get("state") || "open";
  return {
    state: state === "all" ? "" : state,
    severity: get("severity"),
    text: get("text"),
    technique: get("technique"),
    rule: get("rule"),
    node: get("node"),
  };
}

/** Whether the server's list with this filter would have the alert. */
function fits(a: Alert, f: AlertFilter): boolean {
  const text = (f.text ?? "").toLowerCase();
  return (
    (!f.state || a.state === f.state) &&
    (!f.severity || severities.indexOf(a.severity) >= severities.indexOf(f.severity as Severity)) &&
    (!f.technique || a.techniques.some((t) => t === f.technique || t.startsWith(f.technique + "."))) &&
    (!f.rule || a.rule_id === f.rule) &&
    (!f.node || a.node === f.node) &&
    (!text || [a.rule_name, a.summary, a.host].some((s) => s.toLowerCase().includes(text)))
  );
}

/** Puts a changed alert where it belongs, last seen first. */
function merge(list: Alert[], a: Alert, f: AlertFilter, keep?: string): Alert[] {
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

function useAlerts(filter: AlertFilter, keep?: string) {
  const [list, setList] = useState<Alert[] | null>(null);
  const [next, setNext] = useState<string | undefined>();
  const [fresh, setFresh] = useState<Set<string>>(new Set());
  const [failure, setFailure] = useState("");
  const key = JSON.stringify(filter);
  const asked = useRef(key);
  asked.current = key;
  const load = useCallback(async () => {
    try {
      const page = await listAlerts(filter);
      if (asked.current !== key) return; // the filter has changed meanwhile
      setFailure("");
      setList(page.items);
      setNext(page.next);
    } catch (e) {
      setFailure((e as Error).message);
    }
  }, [key]);
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
      const page = await listAlerts(filter, next);
      setList((old) => [...(old ?? []), ...page.items.filter((a) => !old?.some((x) => x.id === a.id))]);
      setNext(page.next);
    } catch (e) {
      setFailure((e as Error).message);
    }
  };
  return { list, next, more, fresh, failure };
}

interface Props {
  session: Session;
  id?: string;
  params: URLSearchParams;
  status: Status | null;
}

export function Alerts({ session, id, params, status }: Props) {
  const filter = filterOf(params);
  const { list: known, next, more, fresh, failure } = useAlerts(filter, id);
  // What was handled while it was read goes when something else is read.
  const list = known?.filter((a) => a.id === id || fits(a, filter));
  const [refused, setRefused] = useState("");
  const search = useRef<HTMLInputElement>(null);
  const path = (to?: string) => "/alerts" + (to ? "/" + encodeURIComponent(to) : "") + withParams(params, {});
  const narrow = (change: Record<string, string>) => go(location.pathname + withParams(params, change), true);
  const set = (state: "acknowledged" | "closed") => {
    setRefused("");
    changeAlert(id!, state).catch((e) => setRefused(e.message));
  };
  useKeys((e) => {
    const at = list?.findIndex((a) => a.id === id) ?? -1;
    const step = e.key === "j" || e.key === "ArrowDown" ? 1 : e.key === "k" || e.key === "ArrowUp" ? -1 : 0;
    const target = step && list?.[at < 0 ? 0 : at + step];
    if (target) {
      e.preventDefault();
      go(path(target.id), true);
    } else if (e.key === "/") {
      e.preventDefault();
      search.current?.focus();
    } else if (e.key === "Escape" && id) {
      go(path());
    } else if (id && session.role !== "viewer" && e.key === "a") {
      set("acknowledged");
    } else if (id && session.role !== "viewer" && e.key === "c") {
      set("closed");
    }
  });
  return (
    <div class={"split" + (id ? " chosen" : list?.length ? "" : " bare")}>
      <section class="list" aria-label="Alerts">
        <header class="bar">
          <Choice
            label="State"
            value={params.get("state") || "open"}
            set={(state) => narrow({ state: state === "open" ? "" : state })}
            of={[
              ["open", "Open"],
              ["acknowledged", "Acknowledged"],
              ["closed", "Closed"],
              ["all", "All"],
            ]}
          />
          <select aria-label="Severity at least" value={filter.severity} onChange={(e) => narrow({ severity: e.currentTarget.value })}>
            <option value="">Any severity</option>
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
            placeholder="Rule, summary or host"
            value={filter.text}
            onInput={(e) => narrow({ text: e.currentTarget.value })}
            onKeyDown={(e) => (e.key === "Escape" || e.key === "Enter") && e.currentTarget.blur()}
          />
          {(["technique", "rule", "node"] as const).map(
            (name) =>
              filter[name] && (
                <button key={name} type="button" class="chip" title="Remove this filter" onClick={() => narrow({ [name]: "" })}>
                  {name} <code>{visible(filter[name]!)}</code> <span aria-hidden="true">✕</span>
                </button>
              ),
          )}
        </header>
        <Failure of={failure || refused} />
        {list?.length === 0 && <Nothing params={params} total={status?.alerts?.total} />}
        <Rows of={list ?? []} id={id} fresh={fresh} path={path} next={next} more={more} />
      </section>
      {id ? (
        <AlertPanel key={id} id={id} session={session} back={() => go(path())} />
      ) : (
        <section class="panel idle">
          <Empty title="Choose an alert">
            <kbd>j</kbd> <kbd>k</kbd> move, <kbd>a</kbd> acknowledge, <kbd>c</kbd> close, <kbd>/</kbd> search, <kbd>Esc</kbd> back
          </Empty>
        </section>
      )}
    </div>
  );
}

/** Why the list is empty, and what to do about it. */
function Nothing({ params, total }: { params: URLSearchParams; total?: number }) {
  if (total === 0) {
    return (
      <Empty title="No alerts yet">
        They appear here by themselves, within a second. Try one, on a machine that is watched:
        <code class="try">setpriv --reuid www-data cat /etc/shadow</code>
      </Empty>
    );
  }
  if (!params.size) return <Empty title="Nothing is open">Every alert has been handled. New ones appear here by themselves.</Empty>;
  return (
    <Empty title="No alert fits">
      Widen the state, the severity or the text, or <a {...link("/alerts?state=all")}>show all</a>.
    </Empty>
  );
}

interface RowsProps {
  of: Alert[];
  id?: string;
  fresh: Set<string>;
  path: (id: string) => string;
  next?: string;
  more: () => void;
}

function Rows({ of, id, fresh, path, next, more }: RowsProps) {
  const now = useNow();
  const chosen = useRef<HTMLAnchorElement>(null);
  useEffect(() => chosen.current?.scrollIntoView({ block: "nearest" }), [id]);
  return (
    <div class="rows">
      {of.map((a) => (
        <a
          key={a.id}
          ref={a.id === id ? chosen : undefined}
          class={`alert ${a.severity}` + (fresh.has(a.id) ? " fresh" : "") + (a.state === "closed" ? " done" : "")}
          aria-current={a.id === id ? "true" : undefined}
          {...link(path(a.id))}
        >
          <span class="line">
            <strong>
              <Shown of={a.rule_name} />
            </strong>
            {a.count > 1 && (
              <span class="fold" title={`seen ${a.count} times`}>
                ×{a.count}
              </span>
            )}
            <span class="when">
              <Ago time={a.last_seen} now={now} />
            </span>
          </span>
          <span class="line second">
            <span class="host">
              <Shown of={a.host} />
            </span>
            <span class="summary">
              <Shown of={a.summary} />
            </span>
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
  );
}
