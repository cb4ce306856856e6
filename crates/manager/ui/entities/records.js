/** Reading records: pages of them, all of them, and one by its name. */

import { get, listed } from '../core/api.js';
import { on } from '../core/events.js';
import { definition, titleOf } from './definitions.js';

/** How many records one request asks for when all are wanted. */
const LARGE_PAGE = 1000;
/** How many records are read where all are wanted, at most. */
const MOST = 10000;
/** How long records that were read stand for those that are there, in milliseconds. */
const FRESH = 15000;

const kept = new Map();
on('written', () => kept.clear());
on('page', () => {
  for (const [path, { since }] of kept) if (Date.now() - since > FRESH) kept.delete(path);
});

/**
 * A page of records; `path` is where they are in the Admin API, `search` has words that each of them is to have. The
 * node looks through so many at a time.
 */
export async function page(path, { size = 50, offset = null, tags, search, signal, global } = {}) {
  const data = [];
  let next = offset;
  do {
    const query = new URLSearchParams({ size: String(size - data.length) });
    if (next) query.set('offset', next);
    if (tags) query.set('tags', tags);
    if (search) query.set('search', search);
    const body = await get(`/${path}?${query}`, { signal, global });
    data.push(...listed(body));
    next = body.offset ?? null;
  } while (search && next && data.length < size);
  return { data, offset: next };
}

/** One record by its id or name. That of a consumer group comes with what belongs to it. */
export async function one(path, key, options) {
  const tail = path === 'consumer_groups' ? '?list_consumers=false' : '';
  const body = await get(`/${path}/${encodeURIComponent(key)}${tail}`, options);
  return body.consumer_group ?? body;
}

/** All records below a path, up to a number; `more` says that there are others. Kept for some seconds. */
export async function all(path, { most = MOST, signal, global } = {}) {
  const found = kept.get(path);
  if (found && Date.now() - found.since < FRESH && found.most >= most) return found.records;
  const records = [];
  let offset = null;
  do {
    const next = await page(path, { size: LARGE_PAGE, offset, signal, global });
    records.push(...next.data);
    offset = next.offset;
  } while (offset && records.length < most);
  records.more = offset !== null;
  kept.set(path, { since: Date.now(), most, records });
  return records;
}

/** The name of the record that a foreign key holds, read when it is not known. */
export async function nameOf(entity, key, signal) {
  const { path, global } = definition(entity);
  const known = kept.get(path)?.records.find((record) => record.id === key.id);
  if (known) return titleOf(known, entity);
  try {
    return titleOf(await one(path, key.id, { signal, global }), entity);
  } catch {
    return key.id.slice(0, 8);
  }
}
