// The address bar decides what is shown: page, item and filters.

import { useEffect, useState } from "preact/hooks";

const changed = "hauberk:path";

/** Where we are: /alerts/x?state=open is ["alerts", "x"] and its parameters. */
export interface Place {
  path: string[];
  params: URLSearchParams;
}

export function go(path: string, replace = false) {
  if (path === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", path);
  dispatchEvent(new Event(changed));
}

/** The parameters with some changed; an empty one is left out. */
export function withParams(params: URLSearchParams, change: Record<string, string>): string {
  const next = new URLSearchParams(params);
  for (const [name, value] of Object.entries(change)) {
    if (value) next.set(name, value);
    else next.delete(name);
  }
  const text = next.toString();
  return text && "?" + text;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // a % that escapes nothing
  }
}

const read = (): Place => ({
  path: location.pathname.split("/").filter(Boolean).map(decoded),
  params: new URLSearchParams(location.search),
});

export function usePlace(): Place {
  const [place, set] = useState(read);
  useEffect(() => {
    const update = () => set(read());
    addEventListener(changed, update);
    addEventListener("popstate", update);
    return () => {
      removeEventListener(changed, update);
      removeEventListener("popstate", update);
    };
  }, []);
  return place;
}

/** Props of a link inside the console. */
export function link(path: string) {
  return {
    href: path,
    onClick: (e: MouseEvent) => {
      if (e.metaKey || e.ctrlKey || e.shiftKey || e.button) return; // a new tab
      e.preventDefault();
      go(path);
    },
  };
}
