// What is silenced, by whom and why; and the place to undo it.

import { useEffect, useState } from "preact/hooks";
import { deleteException, listExceptions } from "./api";
import { instant, visible } from "./format";
import { useLive } from "./live";
import { link } from "./route";
import { Ago, Empty, Failure, Shown, useNow } from "./ui";
import type { Exception, Session } from "./types";

/** The conditions an exception has, with their names. */
function conditions(e: Exception): [string, string][] {
  const all: [string, string | undefined][] = [
    ["executable", e.executable],
    ["parent", e.parent],
    ["user", e.user],
    ["command line", e.command_line],
    ...Object.entries(e.labels ?? {}).map(([k, v]): [string, string] => ["label", `${k}=${v}`]),
  ];
  return all.filter((c): c is [string, string] => !!c[1]);
}

export function Exceptions({ session }: { session: Session }) {
  const [list, setList] = useState<Exception[] | null>(null);
  const [failure, setFailure] = useState("");
  const now = useNow();
  const load = () =>
    listExceptions().then(
      (page) => {
        setList(page.items);
        setFailure("");
      },
      (e) => setFailure(e.message),
    );
  useEffect(() => void load(), []);
  useLive("resync", load);
  const remove = (e: Exception) => deleteException(e.id).then(load, (why) => setFailure(why.message));
  return (
    <div class="page">
      <h1>Exceptions</h1>
      <p class="said">What they name raises no alert. An exception is made from an alert; end it here.</p>
      <Failure of={failure} />
      {list?.length === 0 && (
        <Empty title="Nothing is silenced">
          When an alert turns out to be ordinary work, open it and press <b>Make exception</b>. It says for what, for how long and why.
        </Empty>
      )}
      <div class="exceptions">
        {list?.map((e) => (
          <section key={e.id} class="card" aria-label={"Exception " + e.id}>
            <p class="reason">
              <Shown of={e.reason} />
            </p>
            <dl class="conditions">
              {conditions(e).map(([name, value]) => (
                <div key={name + value}>
                  <dt>{name}</dt>
                  <dd>
                    <code>
                      <Shown of={value} />
                    </code>
                  </dd>
                </div>
              ))}
            </dl>
            <p class="line muted">
              <Shown of={e.author} />
              <span title={instant(e.created)}>
                made it <Ago time={e.created} now={now} />
              </span>
              <span>{e.expires ? `until ${instant(e.expires).slice(0, 16)}` : "for ever"}</span>
              {e.rule === "*" ? <span>every rule</span> : <a {...link("/alerts?state=all&rule=" + encodeURIComponent(e.rule))} title={visible(e.rule)}>its alerts</a>}
              {session.role !== "viewer" && (
                <button type="button" class="close" onClick={() => remove(e)}>
                  End it
                </button>
              )}
            </p>
          </section>
        ))}
      </div>
    </div>
  );
}
