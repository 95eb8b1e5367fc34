// Logging in, and replacing a one-time password.

import { useState } from "preact/hooks";
import { changePassword, logIn } from "./api";
import { Failure } from "./ui";
import type { Session } from "./types";

function Card({ title, children, note }: { title: string; children: preact.ComponentChildren; note?: string }) {
  return (
    <main class="login">
      <div class="card">
        <img src="/icon.svg" alt="" width="44" height="44" />
        <h1>{title}</h1>
        {note && <p class="muted">{note}</p>}
        {children}
      </div>
    </main>
  );
}

/** Submits once at a time and shows why it failed. */
function useSubmit(f: () => Promise<void>, failed?: () => void) {
  const [failure, setFailure] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (e: Event) => {
    e.preventDefault();
    setBusy(true);
    setFailure("");
    try {
      await f();
    } catch (e) {
      setFailure((e as Error).message);
      failed?.();
    }
    setBusy(false);
  };
  return { failure, busy, submit };
}

export function Login({ done }: { done: (s: Session, password: string) => void }) {
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const { failure, busy, submit } = useSubmit(
    async () => done(await logIn(username, password), password),
    () => setPassword(""),
  );
  return (
    <Card title="Hauberk" note="Log in to see what your machines see.">
      <form onSubmit={submit}>
        <label>
          User
          <input name="username" autoComplete="username" autoFocus required value={username} onInput={(e) => setUsername(e.currentTarget.value)} />
        </label>
        <label>
          Password
          <input name="password" type="password" autoComplete="current-password" required value={password} onInput={(e) => setPassword(e.currentTarget.value)} />
        </label>
        <Failure of={failure} />
        <button type="submit" class="primary" disabled={busy}>
          Log in
        </button>
      </form>
    </Card>
  );
}

const shortest = 12;

/** current is the password just used to log in, empty after a reload. */
export function NewPassword({ session, current, done }: { session: Session; current: string; done: (s: Session) => void }) {
  const [old, setOld] = useState(current);
  const [next, setNext] = useState("");
  const [repeat, setRepeat] = useState("");
  const { failure, busy, submit } = useSubmit(async () => {
    if (next !== repeat) throw new Error("the two passwords differ; type the same twice");
    done(await changePassword(old, next));
  });
  return (
    <Card title="Choose a password" note={`The password of ${session.username} is a one-time one. A few words make a good new one.`}>
      <form onSubmit={submit}>
        <input type="hidden" name="username" autoComplete="username" value={session.username} />
        {!current && (
          <label>
            One-time password
            <input name="current-password" type="password" autoComplete="current-password" required value={old} onInput={(e) => setOld(e.currentTarget.value)} />
          </label>
        )}
        <label>
          New password
          <input name="new-password" type="password" autoComplete="new-password" autoFocus required minLength={shortest} value={next} onInput={(e) => setNext(e.currentTarget.value)} />
        </label>
        <label>
          The same again
          <input name="repeat-password" type="password" autoComplete="new-password" required value={repeat} onInput={(e) => setRepeat(e.currentTarget.value)} />
        </label>
        <Failure of={failure} />
        <button type="submit" class="primary" disabled={busy}>
          Set password
        </button>
      </form>
    </Card>
  );
}
