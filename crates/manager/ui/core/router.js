/** Which page an address stands for: `/{workspace}/{page}/…`, as Kong Manager has it. */

import { base } from './config.js';
import { scope } from './api.js';
import { keep } from './preferences.js';

let pages = {};
let show = () => {};
let guard = null;
let current = null;
let leaving = null;

/** Starts: `table` has a page for each first word, `display` is called with what an address stands for. */
export function start(table, display) {
  pages = table;
  show = display;
  addEventListener('popstate', () => {
    if (mayLeave()) return open();
    history.pushState(null, '', current);
  });
  addEventListener('beforeunload', (event) => {
    if (guard && guard()) event.preventDefault();
  });
  document.addEventListener('click', follow);
  open();
}

/** The address of a page in the present workspace. */
export function href(...parts) {
  return hrefIn(scope.workspace, ...parts);
}

/** The address of a page in a workspace. */
export function hrefIn(workspace, ...parts) {
  return base + [workspace, ...parts].map((part) => encodeURIComponent(part)).join('/');
}

/** Goes to an address. */
export function go(address, { instead = false } = {}) {
  if (!mayLeave()) return;
  history[instead ? 'replaceState' : 'pushState'](null, '', address);
  open();
}

/** Asks before this page is left while `changed` says that something would be lost. */
export function guardWith(changed, question) {
  guard = changed;
  guard.question = question;
}

/** Nothing would be lost any more. */
export function unguard() {
  guard = null;
}

/** Keeps what is shown of a page in its address, so that a link, a reload or the way back leads there again. */
export function keepInAddress(name, value) {
  const address = new URL(location.href);
  if (value) address.searchParams.set(name, value);
  else address.searchParams.delete(name);
  history.replaceState(null, '', address);
  current = location.href;
}

/** Shows the present page anew. */
export function reload() {
  open();
}

/** Asks before the pages are loaded anew while something would be lost; whether they may be. */
export function mayReload() {
  const may = mayLeave();
  if (may) unguard();
  return may;
}

function mayLeave() {
  return !guard || !guard() || confirm(guard.question);
}

function open() {
  guard = null;
  current = location.href;
  leaving?.abort();
  leaving = new AbortController();
  const parts = location.pathname.slice(base.length).split('/').filter(Boolean).map(decoded);
  // Kong's open-source manager has no workspaces in its addresses. A workspace may be called as a page is.
  const isPage = parts[0] in pages && !(parts[1] in pages);
  if (parts.length === 0 || !isPage) scope.workspace = parts.shift() ?? 'default';
  else scope.workspace = 'default';
  const [name = 'overview', ...rest] = parts;
  keep('workspace', scope.workspace);
  show({
    page: pages[name] ?? null,
    name,
    parts: rest,
    query: new URLSearchParams(location.search),
    signal: leaving.signal,
  });
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function follow(event) {
  const link = event.target.closest?.('a[href]');
  if (!link || event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (link.target || link.download || link.origin !== location.origin) return;
  if (!link.pathname.startsWith(base)) return;
  event.preventDefault();
  go(link.href);
}
