// The frame around every page: who is logged in, navigation, how the platform
// is.

import type { ComponentChildren } from "preact";
import { useEffect, useErrorBoundary, useState } from "preact/hooks";
import { getSession, logOut, Problem, whenLoggedOut } from "./api";
import { Alerts } from "./alerts";
import { Events } from "./events";
import { Exceptions } from "./exceptions";
import { connect, disconnect, useConnection, useLive } from "./live";
import { Login, NewPassword } from "./login";
import { Nodes } from "./nodes";
import { link, usePlace } from "./route";
import { StatusPage } from "./status";
import { chooseTheme, chosenTheme, themes } from "./theme";
import { Dot, Empty, Shown } from "./ui";
import type { Session, Status } from "./types";

export function App() {
  // undefined: not known yet; null: nobody is logged in.
  const [session, setSession] = useState<Session | null | undefined>();
  const [password, setPassword] = useState("");
  const [away, setAway] = useState(false);
  useEffect(() => {
    whenLoggedOut(() => {
      disconnect();
      setSession(null);
    });
    const ask = () =>
      getSession().then(
        (s) => {
          setAway(false);
          setSession(s);
        },
        (e) => {
          if ((e as Problem).status === 401) return;
          setAway(true);
          setTimeout(ask, 2000);
        },
      );
    ask();
  }, []);
  useEffect(() => {
    if (!session || session.must_change_password) return;
    connect();
    return disconnect;
  }, [session?.username, session?.must_change_password]);

  if (session === undefined) return away ? <Empty title="The server does not answer">Trying again… Is <code>hauberk up</code> running?</Empty> : null;
  if (session === null) {
    return (
      <Login
        done={(s, used) => {
          setPassword(s.must_change_password ? used : "");
          setSession(s);
        }}
      />
    );
  }
  if (session.must_change_password) {
    return (
      <NewPassword
        session={session}
        current={password}
        done={(s) => {
          setPassword("");
          setSession(s);
        }}
      />
    );
  }
  return <Frame session={session} loggedOut={() => setSession(null)} />;
}

const pages = [
  ["alerts", "Alerts", "M12 3l9 16H3zM12 10v4M12 16.5v.5"],
  ["nodes", "Nodes", "M4 5h16v6H4zM4 13h16v6H4zM7.5 8h.5M7.5 16h.5"],
  ["events", "Events", "M4 6h16M4 12h16M4 18h10"],
  ["exceptions", "Exceptions", "M12 3l8 3v5c0 5-3.4 8.6-8 10-4.6-1.4-8-5-8-10V6zM9 12h6"],
  ["status", "Status", "M3 12h4l3-7 4 14 3-7h4"],
] as const;

function Icon({ path }: { path: string }) {
  return (
    <svg viewBox="0 0 24 24" aria-hidden="true" class="icon">
      <path d={path} />
    </svg>
  );
}

function Frame({ session, loggedOut }: { session: Session; loggedOut: () => void }) {
  const { path, params } = usePlace();
  const page = path[0] ?? "alerts";
  const [status, setStatus] = useState<Status | null>(null);
  useLive("status", setStatus);
  const connected = useConnection();
  useEffect(() => {
    document.title = `${pages.find(([p]) => p === page)?.[1] ?? "Hauberk"} · Hauberk`;
  }, [page]);
  const open = status?.alerts?.state.open ?? 0;
  const leave = () => logOut().then(loggedOut, loggedOut); // a session that cannot be ended expires
  return (
    <div class="frame">
      <a class="skip" href="#page">
        Skip to the page
      </a>
      <nav aria-label="Pages">
        <a class="brand" {...link("/alerts")}>
          <img src="/icon.svg" alt="" width="26" height="26" />
          Hauberk
        </a>
        {pages.map(([name, title, icon]) => (
          <a key={name} {...link("/" + name)} aria-current={page === name ? "page" : undefined}>
            <Icon path={icon} />
            {title}
            {name === "alerts" && open > 0 && <span class="count">{open}</span>}
            {name === "status" && status && !status.ok && <Dot of="down" />}
          </a>
        ))}
        <div class="who">
          <ThemeButton />
          <div>
            <strong>{session.username}</strong>
            <span class="muted">{session.role}</span>
          </div>
          <button type="button" class="quiet" onClick={leave}>
            Log out
          </button>
        </div>
      </nav>
      <div class="content">
        {!connected && (
          <p class="strip warning" role="status">
            The connection to the server broke; what you see may be old. Trying again…
          </p>
        )}
        {connected && status && !status.ok && (
          <p class="strip bad" role="status">
            <Shown of={status.problems[0]} />
            {status.problems.length > 1 && ` (and ${status.problems.length - 1} more)`}
            <a {...link("/status")}>Status</a>
          </p>
        )}
        <main id="page" tabIndex={-1}>
          <Guard key={page}>
            {page === "alerts" && <Alerts session={session} id={path[1]} params={params} status={status} />}
            {page === "nodes" && <Nodes id={path[1]} status={status} />}
            {page === "events" && <Events params={params} />}
            {page === "exceptions" && <Exceptions session={session} />}
            {page === "status" && <StatusPage status={status} />}
            {!pages.some(([p]) => p === page) && <Empty title="There is no such page">{path.join("/")}</Empty>}
          </Guard>
        </main>
      </div>
    </div>
  );
}

/** Keeps a fault of one page from taking the others with it. */
function Guard({ children }: { children: ComponentChildren }) {
  const [fault, again] = useErrorBoundary();
  if (!fault) return <>{children}</>;
  return (
    <Empty title="This page failed">
      It is a fault of the console: {String(fault)}. <button type="button" onClick={again}>Try again</button>
    </Empty>
  );
}

/** Goes round: the system's colours, light, dark. */
function ThemeButton() {
  const [theme, set] = useState(chosenTheme);
  const next = () => {
    const t = themes[(themes.indexOf(theme) + 1) % themes.length]!;
    chooseTheme(t);
    set(t);
  };
  const name = theme || "system";
  return (
    <button
      type="button"
      class="quiet"
      title={`Colours: ${name}`}
      aria-label={`Colours: ${name}`}
      onClick={next}
    >
      <Icon
        path={
          theme === "dark"
            ? "M20 14a8 8 0 1 1-10-10 6.5 6.5 0 0 0 10 10z"
            : theme === "light"
              ? "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v3M12 19v3M2 12h3M19 12h3M5 5l2 2M17 17l2 2M5 19l2-2M17 7l2-2"
              : "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16"
        }
      />
    </button>
  );
}
