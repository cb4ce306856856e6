/** What the node is, and who is logged in: asked once, since it stays so until the node starts or somebody logs in. */

import { get } from './api.js';
import { login } from './config.js';
import { on } from './events.js';

let facts = null;
let person = null;
on('back', () => {
  facts = null;
});
on('enter', () => {
  person = null;
});

/** Learns it, before the first page is shown. Who may not know it sees everything as usual. */
export async function learnNode() {
  facts ??= await get('/', { global: true }).catch(() => null);
  if (login !== 'none') person ??= await get('/userinfo', { global: true }).catch(() => null);
}

/** The workspaces that whoever is logged in may see, by name; none where that is not known. */
export function ownWorkspaces() {
  return (person?.workspaces ?? []).map((workspace) => workspace.name);
}

/** Whether the node keeps a record of what is written. Who may not know it is told when it is asked for. */
export function hasAudit() {
  return facts === null || [true, 'on'].includes(facts.configuration?.audit_log);
}

/** Whether nothing can be written, because the configuration is a file (`database = off`). */
export function isReadOnly() {
  return facts?.configuration?.database === 'off';
}
