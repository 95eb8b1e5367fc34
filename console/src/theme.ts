// The colours: those of the system until somebody chooses.

export const themes = ["", "light", "dark"] as const;
export type Theme = (typeof themes)[number];

const key = "theme";

/** What was chosen on this machine; a browser may refuse to remember. */
export function chosenTheme(): Theme {
  try {
    const theme = localStorage.getItem(key) as Theme;
    return themes.includes(theme) ? theme : "";
  } catch {
    return "";
  }
}

export function applyTheme(theme = chosenTheme()) {
  document.documentElement.dataset.theme = theme;
}

export function chooseTheme(theme: Theme) {
  applyTheme(theme);
  try {
    localStorage.setItem(key, theme);
  } catch {
    // It holds until the tab is closed.
  }
}
