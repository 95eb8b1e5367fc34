// How the platform itself is.

import { bytes, instant, number } from "./format";
import { link } from "./route";
import { Dot, Empty, Facts, Shown } from "./ui";
import type { Status } from "./types";

export function StatusPage({ status }: { status: Status | null }) {
  if (!status) return <Empty title="Asking…" />;
  const { disk, events } = status;
  const used = disk.total ? (disk.total - disk.free) / disk.total : 0;
  const reserve = disk.total ? disk.reserve / disk.total : 0;
  return (
    <div class="page">
      <h1>{status.ok ? "All is well" : "Something is wrong"}</h1>
      {status.problems.map((p) => (
        <p key={p} class="failure">
          <Shown of={p} />
        </p>
      ))}
      <div class="cards">
        <section class="card">
          <h2>Roles</h2>
          <table class="grid plain">
            <tbody>
              {status.roles.map((r) => (
                <tr key={r.name}>
                  <td>
                    <Dot of={r.state} /> {r.name}
                  </td>
                  <td>{r.state}</td>
                  <td class="muted"><Shown of={r.detail} /></td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
        <section class="card">
          <h2>Events</h2>
          <Facts
            rows={[
              ["Ingest", status.ingest.stopped ? <span class="wrong">stopped: <Shown of={status.ingest.reason} /></span> : "events are taken"],
              ["Stored", events && number(events.rows)],
              ["On disk", events && `${bytes(events.bytes)}, ${events.rows ? (events.bytes / events.rows).toFixed(0) : 0} bytes each`],
              ["From", instant(events?.oldest)],
              ["To", instant(events?.newest)],
              ["Produced by nodes", events && number(events.produced)],
              ["Stored of these", events && number(events.stored)],
              ...Object.entries(events?.rejected ?? {}).map(([why, n]): [string, string] => [`Rejected: ${why}`, number(n)]),
              ...Object.entries(events?.dropped ?? {}).map(([why, n]): [string, string] => [`Dropped: ${why}`, number(n)]),
              ["On their way", events && number(events.difference)],
            ]}
          />
        </section>
        <section class="card">
          <h2>Disk</h2>
          {disk.total > 0 && (
            <>
              <div class={"meter" + (disk.free <= disk.reserve ? " full" : "")} role="meter" aria-label="Disk used" aria-valuenow={Math.round(used * 100)} aria-valuemin={0} aria-valuemax={100}>
                <span style={{ width: `${used * 100}%` }} />
                <i style={{ right: `${reserve * 100}%` }} title="Ingest stops here" />
              </div>
              <p class="muted">
                {bytes(disk.free)} of {bytes(disk.total)} free; ingest stops when {bytes(disk.reserve)} are left.
              </p>
            </>
          )}
          {status.alerts && (
            <>
              <h2>Alerts</h2>
              <Facts
                rows={[
                  ["Open", <a {...link("/alerts")}>{number(status.alerts.state.open ?? 0)}</a>],
                  ["Acknowledged", <a {...link("/alerts?state=acknowledged")}>{number(status.alerts.state.acknowledged ?? 0)}</a>],
                  ["In all", <a {...link("/alerts?state=all")}>{number(status.alerts.total)}</a>],
                ]}
              />
            </>
          )}
          <h2>Server</h2>
          <Facts
            rows={[
              ["Version", status.version],
              ["API up since", instant(status.started)],
              ["Console", status.addresses.console],
              ["Nodes connect to", status.addresses.nodes],
              ["Nodes", status.nodes && `${number(status.nodes.online)} of ${number(status.nodes.seen)} connected`],
            ]}
          />
        </section>
        {status.counters && Object.keys(status.counters).length > 0 && (
          <section class="card">
            <h2>Counters</h2>
            <table class="grid plain counters">
              <tbody>
                {Object.entries(status.counters)
                  .sort()
                  .map(([name, n]) => (
                    <tr key={name}>
                      <td class="mono">{name}</td>
                      <td class="numeric">{number(n)}</td>
                    </tr>
                  ))}
              </tbody>
            </table>
          </section>
        )}
      </div>
    </div>
  );
}
