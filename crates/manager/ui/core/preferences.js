/** What a browser keeps for its user: language, colours, the workspace of last time. */

const PREFIX = 'bascule.';

/** What was kept under a name. Browsers may refuse to keep anything. */
export function kept(name) {
  try {
    return localStorage.getItem(PREFIX + name);
  } catch {
    return null;
  }
}

/** Keeps a text, or nothing any more. */
export function keep(name, text) {
  try {
    if (text === null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, text);
  } catch {
    // It is asked for again next time.
  }
}

/** The colours: `light`, `dark`, or null for those of the system. */
export function theme() {
  const chosen = kept('theme');
  return ['light', 'dark'].includes(chosen) ? chosen : null;
}

/** Chooses colours. */
export function chooseTheme(chosen) {
  keep('theme', chosen);
  applyTheme();
}

/** Takes the colours into effect. */
export function applyTheme() {
  const chosen = theme();
  if (chosen) document.documentElement.dataset.theme = chosen;
  else delete document.documentElement.dataset.theme;
}
