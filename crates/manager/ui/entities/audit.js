/** Reading the audit log, the newest entries first. The Admin API has the oldest first, so it is asked span by span. */

import { get, listed } from '../core/api.js';

/** How many entries are read at most, and how many of one page of the Admin API. */
const MOST = 2000;
const PAGE = 1000;
/** How many pages of one span are read. */
const PAGES = 50;
/** The first span that is asked for, in seconds; each one after it is so many times as long. */
const [SPAN, LONGER] = [3600, 8];
/** No entry is older. */
const OLDEST = 60 * 86400;

/** The entries of the last `seconds` (0: all there are); `name` is `objects` or `requests`. */
export async function newest(name, seconds, signal) {
  const found = new Map();
  const end = Math.floor(Date.now() / 1000) - (seconds || OLDEST);
  let [before, span] = [null, SPAN];
  while (found.size < MOST && (before === null || before > end)) {
    const after = Math.max(end, (before ?? Math.floor(Date.now() / 1000)) - span);
    const query = new URLSearchParams({ after: String(after) });
    if (before !== null) query.set('before', String(before));
    for (const entry of await read(name, query, signal)) found.set(entry.id ?? entry.request_id, entry);
    [before, span] = [after, span * LONGER];
  }
  return [...found.values()].slice(0, MOST);
}

/** What was written to the record of that id. */
export function writtenTo(id, signal) {
  return read('objects', new URLSearchParams({ entity_key: id }), signal);
}

/** All entries that a query finds, the last ones first. */
async function read(name, query, signal) {
  let found = [];
  query.set('size', String(PAGE));
  for (let pages = 0; pages < PAGES; pages += 1) {
    const body = await get(`/audit/${name}?${query}`, { signal });
    found = [...found, ...listed(body)].slice(-MOST);
    if (!body.offset) break;
    query.set('offset', body.offset);
  }
  return found.reverse();
}
