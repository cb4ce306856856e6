/** What parts of the pages tell each other without knowing each other. */

const listeners = new Map();

/** Calls `action` whenever `name` happens, until `signal` says that nobody listens any more. */
export function on(name, action, signal) {
  const all = listeners.get(name) ?? new Set();
  listeners.set(name, all.add(action));
  signal?.addEventListener('abort', () => all.delete(action), { once: true });
}

/** Tells everybody who listens. */
export function emit(name, detail) {
  for (const action of [...(listeners.get(name) ?? [])]) action(detail);
}
