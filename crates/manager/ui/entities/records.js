/** Reading records: pages of them, all of them, and one by its name. */

import { get } from '../core/api.js';
import { on } from '../core/events.js';
import { definition, titleOf } from './definitions.js';

/** How many records one request asks for when all are wanted. */
const LARGE_PAGE = 1000;
/** What a search looks through at most: beyond that, names have to be given whole. */
export const SEARCHED = 20000;
/** How long records that were read stand for those that are there, in milliseconds. */
const FRESH = 15000;

const kept = new Map();
on('written', () => kept.clear());
on('page', () => {
  for (const [path, { since }] of kept) if (Date.now() - since > FRESH) kept.delete(path);
});

/** A page of records; `path` is where they are in the Admin API. */
export async function page(path, { size = 50, offset, tags, signal, global } = {}) {
  const query = new URLSearchParams({ size: String(size) });
  if (offset) query.set('offset', offset);
  if (tags) query.set('tags', tags);
  const body = await get(`/${path}?${query}`, { signal, global });
  return { data: [...(body.data ?? [])], offset: body.offset ?? null };
}

/** One record by its id or name. */
export function one(path, key, options) {
  return get(`/${path}/${encodeURIComponent(key)}`, options);
}

/** All records below a path, up to a number; `more` says that there are others. Kept for some seconds. */
export async function all(path, { most = SEARCHED, signal, global } = {}) {
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

/** What a record says that people look for. */
export function wordsOf(record) {
  const lists = ['paths', 'hosts', 'methods', 'tags', 'snis'].flatMap((name) => record[name] ?? []);
  const plain = [
    'id',
    'name',
    'username',
    'custom_id',
    'host',
    'path',
    'target',
    'prefix',
    'expression',
    'kid',
    'instance_name',
    'description',
    'group',
    'key',
  ].map((name) => record[name]);
  return [...plain, ...lists]
    .filter((word) => typeof word === 'string')
    .join(' ')
    .toLowerCase();
}

/** The records with all words of a question in them. */
export function matching(records, question) {
  const words = question.toLowerCase().split(/\s+/).filter(Boolean);
  return records.filter((record) => {
    const text = wordsOf(record);
    return words.every((word) => text.includes(word));
  });
}

/** The name of the record that a foreign key holds, read when it is not known. */
export async function nameOf(entity, key, signal) {
  const { path, global } = definition(entity);
  const known = kept.get(path)?.records.find((record) => record.id === key.id);
  if (known) return titleOf(known);
  try {
    return titleOf(await one(path, key.id, { signal, global }));
  } catch {
    return key.id.slice(0, 8);
  }
}
