// Small parts that every page uses.

import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { ago, exactly, instant, pieces, quoted, visible } from "./format";
import { link } from "./route";
import type { Process, Severity, State } from "./types";

/** A clock that ticks every second, for "3m ago". */
export function useNow(): number {
  const [now, set] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => set(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

export function Ago({ time, now }: { time?: string; now: number }) {
  return (
    <time dateTime={time} title={instant(time)}>
      {ago(time, now)}
    </time>
  );
}

/** Text from outside. What cannot be seen is escaped, and looks escaped. */
export function Shown({ of }: { of: string | undefined }) {
  return (
    <>
      {pieces(of ?? "").map((p, i) =>
        p.escaped ? (
          <span key={i} class="escape" title="a character that cannot be seen">
            {p.text}
          </span>
        ) : (
          p.text
        ),
      )}
    </>
  );
}

/** Labels of a node, each key=value. */
export const Labels = ({ of }: { of: Record<string, string> }) => (
  <>
    {Object.entries(of).map(([k, v]) => (
      <span key={k} class="label">
        {visible(`${k}=${v}`)}
      </span>
    ))}
  </>
);

export const SeverityTag = ({ of }: { of: Severity }) => <span class={`tag severity ${of}`}>{of}</span>;

export const StateTag = ({ of }: { of: State }) => <span class={`state ${of}`}>{of}</span>;

export const Dot = ({ of }: { of: string }) => <span class={`dot ${of}`} aria-hidden="true" />;

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <svg viewBox="0 0 48 48" aria-hidden="true">
        <circle cx="17" cy="18" r="9" />
        <circle cx="31" cy="18" r="9" />
        <circle cx="24" cy="30" r="9" />
      </svg>
      <h2>{title}</h2>
      {children && <p>{children}</p>}
    </div>
  );
}

export const Failure = ({ of }: { of: string }) =>
  of ? (
    <p class="failure" role="alert">
      {of}
    </p>
  ) : null;

/** Names with values, those without a value left out. */
export function Facts({ rows }: { rows: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {rows
        .filter(([, value]) => value !== undefined && value !== "" && value !== null && value !== false)
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}

/** What a process did: its events in the history. A process is known by its
 * entity id on its node only. */
export const eventsOf = (entity: string, node: string) =>
  "/events?mode=history&since=24h&q=" + encodeURIComponent(`${exactly("process.entity_id", entity)} ${exactly("host.id", node)}`);

/** Characters of arguments shown at first; more on demand. */
const argsShown = 600;

function Command({ of: p }: { of: Process }) {
  const [all, setAll] = useState(false);
  if (!p.args.length) {
    return (
      <div class="command">
        <span class="program">
          <Shown of={p.executable || p.name || "unknown"} />
        </span>
      </div>
    );
  }
  const whole = p.args.map(quoted);
  const length = whole.reduce((n, a) => n + a.length + 1, 0);
  let room = all ? Infinity : argsShown;
  return (
    <div class="command">
      {whole.map((a, i) => {
        const part = a.slice(0, Math.max(room, 0));
        room -= a.length + 1;
        return (
          part && (
            <span key={i} class={i ? "argument" : "program"}>
              <Shown of={part} />{" "}
            </span>
          )
        );
      })}
      {length > argsShown && (
        <button type="button" class="quiet small" onClick={() => setAll(!all)}>
          {all ? "less" : `… all ${length} characters`}
        </button>
      )}
      {p.args_length ? <span class="muted">… cut by the node; {p.args_length} bytes in all</span> : null}
    </div>
  );
}

/** A process with its ancestors, the oldest first, each below its parent. */
export function Tree({ of, node }: { of: Process[]; node: string }) {
  if (!of.length) return <p class="muted">No process caused this.</p>;
  return (
    <ol class="tree" aria-label="Process tree, the oldest ancestor first">
      {of.map((p, depth) => (
        <li key={p.entity_id} class={depth === of.length - 1 ? "subject" : ""} style={{ "--depth": Math.min(depth, 12) }}>
          <div class="process">
            <Command of={p} />
            <div class="about">
              <a {...link(eventsOf(p.entity_id, node))} title="What this process did">
                pid {p.pid}
              </a>
              <span class={p.uid === 0 ? "root" : ""}>
                {p.user ? <Shown of={p.user} /> : p.uid === 0 ? "root" : `uid ${p.uid}`}
              </span>
              {p.executable && p.executable !== p.args[0] && (
                <span class="path">
                  <Shown of={p.executable} />
                </span>
              )}
              {p.working_directory && (
                <span>
                  in <span class="path"><Shown of={p.working_directory} /></span>
                </span>
              )}
              {p.tty && <Shown of={p.tty} />}
              {p.container_id && <span title={visible(p.container_id)}>container {visible(p.container_id.slice(0, 12))}</span>}
              {p.sha256 && <span title={visible(p.sha256)}>sha256 {visible(p.sha256.slice(0, 12))}…</span>}
            </div>
          </div>
        </li>
      ))}
    </ol>
  );
}

/** A group of choices of which one holds. */
export function Choice<T extends string>({ label, of, value, set }: { label: string; of: [T, string][]; value: T; set: (v: T) => void }) {
  return (
    <div class="choice" role="radiogroup" aria-label={label}>
      {of.map(([v, name]) => (
        <button
          key={v}
          type="button"
          role="radio"
          aria-checked={v === value}
          tabIndex={v === value ? 0 : -1}
          onClick={() => set(v)}
          onKeyDown={(e) => {
            const step = e.key === "ArrowRight" ? 1 : e.key === "ArrowLeft" ? -1 : 0;
            if (!step) return;
            e.preventDefault();
            const next = of[(of.findIndex(([x]) => x === value) + step + of.length) % of.length]!;
            set(next[0]);
            const buttons = e.currentTarget.parentElement!.querySelectorAll("button");
            buttons[of.indexOf(next)]?.focus();
          }}
        >
          {name}
        </button>
      ))}
    </div>
  );
}

/** A modal dialog; Escape and the backdrop close it. */
export function Dialog({ title, close, children }: { title: string; close: () => void; children: ComponentChildren }) {
  const ref = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => ref.current?.showModal(), []);
  return (
    <dialog ref={ref} onClose={close} onClick={(e) => e.target === ref.current && close()} aria-label={title}>
      <div class="sheet">
        <h2>{title}</h2>
        {children}
      </div>
    </dialog>
  );
}

/** Whether the user is typing, so that a key is no shortcut. */
export const typing = (e: KeyboardEvent) =>
  e.metaKey || e.ctrlKey || e.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test((e.target as Element).tagName) || !!document.querySelector("dialog[open]");

export function useKeys(f: (e: KeyboardEvent) => void) {
  const latest = useRef(f);
  latest.current = f;
  useEffect(() => {
    const listener = (e: KeyboardEvent) => !typing(e) && latest.current(e);
    addEventListener("keydown", listener);
    return () => removeEventListener("keydown", listener);
  }, []);
}
