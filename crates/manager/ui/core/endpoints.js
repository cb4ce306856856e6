/** Which endpoints the Admin API has: pages that need one say so when it is not there. */

import { get, listed } from './api.js';

let asked = null;

/** All of them. */
export function endpoints() {
  asked ??= get('/endpoints', { global: true }).then(listed);
  // What failed is asked for again.
  asked.catch(() => {
    asked = null;
  });
  return asked;
}

/** Whether there is one of that path. */
export async function hasEndpoint(path) {
  return (await endpoints()).includes(path);
}
