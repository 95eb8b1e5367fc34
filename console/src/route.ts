// The address bar decides which page is shown.

import { useEffect, useState } from "preact/hooks";

const changed = "hauberk:path";

export function go(path: string, replace = false) {
  if (path === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", path);
  dispatchEvent(new Event(changed));
}

/** The parts of the path: /alerts/x is ["alerts", "x"]. */
export function usePath(): string[] {
  const read = () => location.pathname.split("/").filter(Boolean).map(decodeURIComponent);
  const [path, set] = useState(read);
  useEffect(() => {
    const update = () => set(read());
    addEventListener(changed, update);
    addEventListener("popstate", update);
    return () => {
      removeEventListener(changed, update);
      removeEventListener("popstate", update);
    };
  }, []);
  return path;
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
