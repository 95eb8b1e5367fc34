// The machines that joined, what watches them and how.

import { useEffect, useState } from "preact/hooks";
import { getNode, listNodes } from "./api";
import { exactly, instant, number, visible } from "./format";
import { useLive } from "./live";
import { go, link } from "./route";
import { Ago, Dot, Empty, Facts, Failure, Labels, Shown, useKeys, useNow } from "./ui";
import type { Node, Sensor, Status } from "./types";

/** At most so many nodes are listed; more need a search. */
const limit = 1000;

/** Puts what a gateway said in place. "Offline" by another gateway than the
 * one the node is connected to now is old news: the node moved. */
function merge(list: Node[], n: Node): Node[] {
  const old = list.find((x) => x.id === n.id);
  if (!old) return [...list, n].sort((a, b) => (a.host < b.host ? -1 : 1));
  if (n.state === "offline" && old.state === "online" && old.gateway !== n.gateway) return list;
  return list.map((x) => (x.id === n.id ? n : x));
}

export function Nodes({ id, status }: { id?: string; status: Status | null }) {
  const [list, setList] = useState<Node[] | null>(null);
  const [more, setMore] = useState(false);
  const [text, setText] = useState("");
  const [failure, setFailure] = useState("");
  const now = useNow();
  const load = () =>
    listNodes(limit).then(
      (page) => {
        setList(page.items);
        setMore(!!page.next);
        setFailure("");
      },
      (e) => setFailure(e.message),
    );
  useEffect(() => {
    load();
    // A dead gateway says nothing of its nodes; a list does.
    const timer = setInterval(load, 30_000);
    return () => clearInterval(timer);
  }, []);
  useLive("resync", load);
  useLive("node", (n: Node) => setList((old) => old && merge(old, n)));
  useKeys((e) => e.key === "Escape" && id && go("/nodes"));
  const shown = list?.filter((n) => {
    const all = [n.host, n.id, n.os ?? "", n.state, ...Object.entries(n.labels).map(([k, v]) => `${k}=${v}`)].join(" ").toLowerCase();
    return text
      .toLowerCase()
      .split(/\s+/)
      .every((word) => all.includes(word));
  });
  return (
    <div class={"split nodes" + (id ? " chosen" : "")}>
      <section class="list" aria-label="Nodes">
        <header class="bar">
          <input type="search" aria-label="Find nodes" placeholder="Host, label, state, system" value={text} onInput={(e) => setText(e.currentTarget.value)} />
          {status?.nodes && (
            <span class="muted">
              {number(status.nodes.online)} of {number(status.nodes.seen)} connected
            </span>
          )}
        </header>
        <Failure of={failure} />
        {list?.length === 0 && (
          <Empty title="No machine has joined yet">
            On the server run <code>hauberk token create</code>, then on the machine <code>hauberk-agent enroll</code>.
          </Empty>
        )}
        {!!list?.length && shown?.length === 0 && <Empty title="No node fits">Every word must be in the host, a label, the state or the system.</Empty>}
        {!!shown?.length && (
          <div class="rows">
            <table class="grid">
              <thead>
                <tr>
                  <th>Host</th>
                  <th>State</th>
                  <th>Watches</th>
                  {!id && <th class="wide">Labels</th>}
                  {!id && <th class="wide">System</th>}
                  <th>Heard</th>
                </tr>
              </thead>
              <tbody>
                {shown.map((n) => (
                  <tr key={n.id} aria-current={n.id === id ? "true" : undefined} onClick={() => go("/nodes/" + n.id)}>
                    <td>
                      <a {...link("/nodes/" + n.id)}>
                        <Shown of={n.host} />
                      </a>
                    </td>
                    <td>
                      <State of={n} />
                    </td>
                    <td>
                      <Watches of={n.sensors} online={n.state === "online"} />
                    </td>
                    {!id && (
                      <td class="wide">
                        <Labels of={n.labels} />
                      </td>
                    )}
                    {!id && <td class="wide muted">{visible(n.os ?? "")}</td>}
                    <td class="muted">
                      <Ago time={n.heard} now={now} />
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
            {more && <p class="muted note">Only the first {number(limit)} are shown; `hauberk nodes` lists all.</p>}
          </div>
        )}
      </section>
      {id && <NodePanel key={id} id={id} />}
    </div>
  );
}

/** What a node does, in one word. */
function doing(n: Node): string {
  if (n.state !== "online") return n.state;
  if (n.stopped || n.mode === "stopped") return "stopped";
  return n.mode === "idle" ? "idle" : "online";
}

const State = ({ of }: { of: Node }) => (
  <span class="nowrap" title={visible(of.reason ?? "")}>
    <Dot of={doing(of)} /> {doing(of)}
  </span>
);

function Watches({ of, online }: { of: Sensor[]; online: boolean }) {
  if (!of.length) return <span class="muted">nothing</span>;
  return (
    <span class={"watches" + (online ? "" : " past")} title={online ? undefined : "as last heard"}>
      {of.map((s) => (
        <span key={s.name} class={`sensor ${s.state}`} title={[s.state, s.method, s.reason].filter(Boolean).join(": ")}>
          {s.name}
        </span>
      ))}
    </span>
  );
}

function NodePanel({ id }: { id: string }) {
  const [node, setNode] = useState<Node | null>(null);
  const now = useNow();
  const [failure, setFailure] = useState("");
  const load = () => getNode(id).then(setNode, (e) => setFailure(e.message));
  useEffect(() => void load(), [id]);
  useLive("node", (n: Node) => n.id === id && load());
  useLive("resync", load);
  if (!node) return <section class="panel">{failure && <Empty title="This node cannot be shown">{failure}</Empty>}</section>;
  return (
    <section class="panel" aria-label="Node">
      <header class="head">
        <div class="line">
          <State of={node} />
          {node.stopped && <span class="tag">stopped by command</span>}
          {node.mode === "idle" && <span class="tag">its breaker tripped</span>}
          <span class="muted">
            heard <Ago time={node.heard} now={now} />
          </span>
          <button type="button" class="quiet close" aria-label="Back to the list" onClick={() => go("/nodes")}>
            ✕
          </button>
        </div>
        <h1>
          <Shown of={node.host} />
        </h1>
        {node.reason && (
          <p class="said">
            <Shown of={node.reason} />
          </p>
        )}
        {node.config.error && (
          <p class="failure">
            It refused its configuration: <Shown of={node.config.error} />
          </p>
        )}
        <p class="line links">
          <a {...link("/alerts?state=all&node=" + node.id)}>Its alerts</a>
          <a {...link("/events?mode=history&q=" + encodeURIComponent(exactly("host.name", node.host)))}>Its events</a>
        </p>
      </header>
      <h2>What watches it</h2>
      {node.sensors.length ? (
        <table class="grid plain">
          <thead>
            <tr>
              <th>Sensor</th>
              <th>State</th>
              <th>Method</th>
              <th>Reason</th>
            </tr>
          </thead>
          <tbody>
            {node.sensors.map((s) => (
              <tr key={s.name}>
                <td>{s.name}</td>
                <td>
                  <Dot of={s.state} /> {s.state}
                </td>
                <td class="mono">{s.method}</td>
                <td class="muted"><Shown of={s.reason} /></td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : (
        <p class="muted">It has not said yet.</p>
      )}
      <h2>About it</h2>
      <Facts
        rows={[
          ["System", visible(node.os ?? "")],
          ["Kernel", node.kernel && `${visible(node.kernel)} ${node.arch ?? ""}`],
          ["Agent", node.version && `version ${node.version}`],
          ["Kind", node.kind],
          ["Labels", Object.keys(node.labels).length > 0 && <Labels of={node.labels} />],
          ["Address", node.address],
          ["Gateway", node.gateway],
          ["Heard", instant(node.heard)],
          ["In this state since", instant(node.since)],
          ["Enrolled", instant(node.enrolled)],
          ["Waiting in its spool", node.backlog > 0 && `${number(node.backlog)} events`],
          ["Configuration", `version ${node.config.version}`],
          ["Starts", node.incarnation > 0 && number(node.incarnation)],
          ["Id", <code>{node.id}</code>],
        ]}
      />
      {!!node.counters?.length && (
        <>
          <h2>Counters since its start</h2>
          <table class="grid plain counters">
            <tbody>
              {node.counters.map((c) => (
                <tr key={c.name + c.label}>
                  <td class="mono">
                    {c.name} <span class="muted">{c.label}</span>
                  </td>
                  <td class="numeric">{number(c.value)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
    </section>
  );
}
