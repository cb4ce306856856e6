/** Keys without a mouse: `/` searches, `g s` goes to services, `?` shows them all. */

const bindings = new Map();
const PAUSE = 1200;
let begun = '';
let timer;

/** Binds keys, such as `g s`, to an action. */
export function bind(keys, label, action) {
  bindings.set(keys, { label, action });
}

/** All bindings, for the page that shows them. */
export function bound() {
  return [...bindings].map(([keys, { label }]) => ({ keys, label }));
}

/** Starts to listen. */
export function listen() {
  document.addEventListener('keydown', (event) => {
    if (event.key === 'k' && (event.ctrlKey || event.metaKey)) return run('/', event);
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector('dialog[open]')) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      begun = '';
    }, PAUSE);
    const keys = begun ? `${begun} ${event.key}` : event.key;
    begun = '';
    if (bindings.has(keys)) return run(keys, event);
    if ([...bindings.keys()].some((one) => one.startsWith(`${event.key} `))) begun = event.key;
  });
}

function run(keys, event) {
  event.preventDefault();
  bindings.get(keys)?.action();
}

function isTyping(element) {
  return element.isContentEditable || ['INPUT', 'TEXTAREA', 'SELECT'].includes(element.tagName);
}
