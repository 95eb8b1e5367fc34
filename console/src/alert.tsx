// One alert: what happened, who did it, and what to make of it.

import { useEffect, useState } from "preact/hooks";
import { changeAlert, exceptAlert, getAlert } from "./api";
import { Fields } from "./fields";
import { clock, instant, text, visible } from "./format";
import { useLive } from "./live";
import { link } from "./route";
import { Ago, Dialog, Empty, eventsOf, Facts, Failure, Labels, SeverityTag, Shown, StateTag, Tree, useNow } from "./ui";
import type { Alert, AlertDetail, Change, Evidence, Session, State } from "./types";

export function AlertPanel({ id, session, back }: { id: string; session: Session; back: () => void }) {
  const [alert, setAlert] = useState<AlertDetail | null>(null);
  const [failure, setFailure] = useState("");
  const now = useNow();
  const load = () =>
    getAlert(id).then(
      (a) => {
        setAlert(a);
        setFailure("");
      },
      (e) => setFailure(e.message),
    );
  useEffect(() => void load(), [id]);
  useLive("resync", load);
  useLive("alert", (a: Alert) => a.id === id && a.version !== alert?.version && load());
  if (!alert) return <section class="panel">{failure && <Empty title="This alert cannot be shown">{failure}</Empty>}</section>;
  return (
    <section class="panel" aria-label="Alert">
      <header class={`head ${alert.severity}`}>
        <div class="line">
          <SeverityTag of={alert.severity} />
          <StateTag of={alert.state} />
          {alert.state_by && (
            <span class="muted">
              by <Shown of={alert.state_by} /> <Ago time={alert.state_at} now={now} />
            </span>
          )}
          <button type="button" class="quiet close" aria-label="Back to the list" onClick={back}>
            ✕
          </button>
        </div>
        <h1>
          <Shown of={alert.rule_name} />
        </h1>
        <p class="said">
          <Shown of={alert.summary} />
        </p>
        <Actions alert={alert} session={session} changed={setAlert} failed={setFailure} />
        <Failure of={failure} />
      </header>
      <Facts
        rows={[
          ["Host", <a {...link("/nodes/" + encodeURIComponent(alert.node))}><Shown of={alert.host} /></a>],
          ["Last seen", <>{instant(alert.last_seen)} <span class="muted"><Ago time={alert.last_seen} now={now} /></span></>],
          ["First seen", alert.first_seen !== alert.last_seen && instant(alert.first_seen)],
          ["Seen", alert.count > 1 && `${alert.count} times, folded into one`],
          ["Labels", alert.labels && Object.keys(alert.labels).length > 0 && <Labels of={alert.labels} />],
          ["ATT&CK", alert.techniques.length > 0 && alert.techniques.map((t, i) => <Technique key={t} id={t} name={alert.technique_names?.[i]} />)],
          ["Tactics", alert.tactics?.join(", ")],
        ]}
      />
      {alert.description && (
        <p class="description">
          {alert.description.split("\n").map((line, i) => (
            <span key={i} class="paragraph">
              <Shown of={line} />
            </span>
          ))}
        </p>
      )}
      <h2>Process tree</h2>
      <Tree of={alert.tree} node={alert.node} />
      <h2>Timeline</h2>
      <Timeline alert={alert} />
      <Texts title="What else it could be" of={alert.false_positives} />
      <Texts title="Read more" of={alert.references} />
      <Facts
        rows={[
          ["Rule", <a class="mono" {...link("/alerts?state=all&rule=" + encodeURIComponent(alert.rule_id))} title="All alerts of this rule"><Shown of={alert.rule_id} /></a>],
          ["Rule set", alert.ruleset],
          ["Alert", <code><Shown of={alert.id} /></code>],
        ]}
      />
    </section>
  );
}

/** A list of texts; addresses too are only text: the console leads nowhere else. */
function Texts({ title, of }: { title: string; of?: string[] }) {
  if (!of?.length) return null;
  return (
    <>
      <h2>{title}</h2>
      <ul>
        {of.map((s) => (
          <li key={s}>
            <Shown of={s} />
          </li>
        ))}
      </ul>
    </>
  );
}

/** A technique leads to all alerts with it. */
function Technique({ id, name }: { id: string; name?: string }) {
  return (
    <a class="technique" {...link("/alerts?state=all&technique=" + encodeURIComponent(id))} title="All alerts with this technique">
      <Shown of={id} /> {name && <span>{visible(name)}</span>}
    </a>
  );
}

interface ActionsProps {
  alert: AlertDetail;
  session: Session;
  changed: (a: AlertDetail) => void;
  failed: (why: string) => void;
}

function Actions({ alert, session, changed, failed }: ActionsProps) {
  const [comment, setComment] = useState("");
  const [excepting, setExcepting] = useState(false);
  if (session.role === "viewer") return null;
  const set = async (state: State) => {
    try {
      changed(await changeAlert(alert.id, state, comment));
      setComment("");
      failed("");
    } catch (e) {
      failed((e as Error).message);
    }
  };
  return (
    <div class="actions">
      <input aria-label="Comment" placeholder="Comment (optional)" value={comment} onInput={(e) => setComment(e.currentTarget.value)} />
      {alert.state === "open" && (
        <button type="button" class="primary" onClick={() => set("acknowledged")}>
          Acknowledge
        </button>
      )}
      {alert.state !== "closed" && (
        <button type="button" onClick={() => set("closed")}>
          Close
        </button>
      )}
      {alert.state !== "open" && (
        <button type="button" onClick={() => set("open")}>
          Open again
        </button>
      )}
      <button type="button" onClick={() => setExcepting(true)}>
        Make exception…
      </button>
      {excepting && <ExceptionDialog alert={alert} close={() => setExcepting(false)} />}
    </div>
  );
}

const spans: [number, string][] = [
  [86400, "a day"],
  [7 * 86400, "a week"],
  [30 * 86400, "a month"],
  [0, "ever"],
];

function ExceptionDialog({ alert, close }: { alert: AlertDetail; close: () => void }) {
  const subject = alert.tree.at(-1);
  const parent = alert.tree.at(-2);
  const glob = (s?: string) => (s ?? "").replaceAll("*", "?");
  const [in_, set] = useState({
    executable: glob(subject?.executable),
    parent: glob(parent?.executable),
    user: "",
    command_line: "",
    reason: "",
    seconds: 30 * 86400,
  });
  const [labels, setLabels] = useState<Record<string, string>>({});
  const [failure, setFailure] = useState("");
  const field = (name: "executable" | "parent" | "user" | "command_line", label: string, hint: string) => (
    <label>
      {label}
      <input name={name} placeholder={hint} value={in_[name]} onInput={(e) => set({ ...in_, [name]: e.currentTarget.value })} />
    </label>
  );
  const submit = async (e: Event) => {
    e.preventDefault();
    try {
      if (!in_.executable && !in_.parent && !in_.user && !in_.command_line && !Object.keys(labels).length) {
        throw new Error("say at least one condition; without any the rule would be silent everywhere");
      }
      await exceptAlert(alert.id, { ...in_, labels });
      close();
    } catch (e) {
      setFailure((e as Error).message);
    }
  };
  return (
    <Dialog title="Make an exception" close={close}>
      <p class="muted">
        “<Shown of={alert.rule_name} />” stays silent for processes that fit all of these, and this alert is closed. <code>*</code> stands for
        anything, <code>?</code> for one character.
      </p>
      <form onSubmit={submit}>
        {field("executable", "Executable", "any")}
        {field("parent", "Parent's executable", "any")}
        {field("user", "User", visible(subject?.user || "") ? `any, here ${visible(subject!.user!)}` : "any")}
        {field("command_line", "Command line", "any")}
        {alert.labels && Object.keys(alert.labels).length > 0 && (
          <fieldset>
            <legend>Only on machines with</legend>
            {Object.entries(alert.labels).map(([k, v]) => (
              <label key={k} class="check">
                <input
                  type="checkbox"
                  checked={k in labels}
                  onChange={(e) => {
                    const { [k]: _, ...rest } = labels;
                    setLabels(e.currentTarget.checked ? { ...rest, [k]: v } : rest);
                  }}
                />
                <span class="label">{visible(`${k}=${v}`)}</span>
              </label>
            ))}
          </fieldset>
        )}
        <label>
          Why
          <textarea name="reason" required rows={2} value={in_.reason} onInput={(e) => set({ ...in_, reason: e.currentTarget.value })} />
        </label>
        <label>
          For
          <select value={String(in_.seconds)} onChange={(e) => set({ ...in_, seconds: Number(e.currentTarget.value) })}>
            {spans.map(([s, name]) => (
              <option key={s} value={String(s)}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <Failure of={failure} />
        <div class="line end">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" class="primary">
            Make exception
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** What nodes saw and what people did, in one order. */
function Timeline({ alert }: { alert: AlertDetail }) {
  const entries: { time: string; evidence?: Evidence; change?: Change }[] = [
    ...alert.evidence.map((evidence) => ({ time: evidence.time, evidence })),
    ...(alert.history ?? []).map((change) => ({ time: change.at, change })),
  ].sort((a, b) => (a.time < b.time ? -1 : 1));
  return (
    <ol class="timeline">
      {entries.map(({ time, evidence, change }, i) => (
        <li key={i} class={change ? "human" : ""}>
          <time dateTime={time} title={instant(time)}>
            {clock(time)}
          </time>
          {evidence && <EvidenceEntry of={evidence} node={alert.node} />}
          {change && (
            <span>
              {change.by ? <strong><Shown of={change.by} /></strong> : "Alert"} {change.action}
              {change.comment && <q><Shown of={change.comment} /></q>}
            </span>
          )}
        </li>
      ))}
    </ol>
  );
}

const telling = ["file.path", "hauberk.file.new_path", "destination.ip", "destination.port", "source.ip", "user.name", "hauberk.denied.operation", "dns.question.name", "url.original", "message"];

function EvidenceEntry({ of, node }: { of: Evidence; node: string }) {
  const shown = telling.filter((name) => of.event[name] !== undefined);
  const entity = text(of.event["process.entity_id"]);
  return (
    <details>
      <summary>
        <strong><Shown of={text(of.event["event.action"])} /></strong>{" "}
        <span class="mono"><Shown of={text(of.event["process.command_line"] ?? of.event["process.executable"]).slice(0, 300)} /></span>
        {shown.map((name) => (
          <span key={name} class="pair">
            {name}
            <b><Shown of={text(of.event[name])} /></b>
          </span>
        ))}
      </summary>
      <Fields of={of.event} />
      {entity && <a {...link(eventsOf(entity, node))}>What else this process did</a>}
    </details>
  );
}
