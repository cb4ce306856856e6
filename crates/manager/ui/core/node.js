/** What the node is: asked once, since it stays so until the node starts again. */

import { get } from './api.js';
import { on } from './events.js';

let facts = null;
on('back', () => {
  facts = null;
});

/** Learns it, before the first page is shown. Who may not know it sees everything as usual. */
export async function learnNode() {
  facts ??= await get('/', { global: true }).catch(() => null);
}

/** Whether the node keeps a record of what is written. */
export function hasAudit() {
  return [true, 'on'].includes(facts?.configuration?.audit_log);
}

/** Whether nothing can be written, because the configuration is a file (`database = off`). */
export function isReadOnly() {
  return facts?.configuration?.database === 'off';
}
