/** Schemas of entities, plugins and vaults, and what follows from one: defaults and differences. */

import { equal } from './dom.js';
import { get } from './api.js';

/** Secrets that their schemas do not call encrypted. */
const SECRETS = {
  certificates: ['key', 'key_alt'],
  hmacauth_credentials: ['secret'],
  jwt_secrets: ['secret'],
  keyauth_credentials: ['key'],
  keys: ['jwk', 'pem'],
  oauth2_tokens: ['access_token', 'refresh_token'],
  rbac_users: ['user_token'],
};

const cache = new Map();
/** Names of fields by entity: what its schema calls encrypted or referenceable. */
const guarded = new Map();

/** The fields of an entity. */
export async function entitySchema(name) {
  const found = await schema(`/schemas/${encodeURIComponent(name)}`);
  const isSecret = (field) => SECRETS[name]?.includes(field.name);
  const fields = found.fields.map((field) => (isSecret(field) ? { ...field, encrypted: true } : field));
  const names = fields.filter((field) => field.encrypted || field.referenceable).map((field) => field.name);
  guarded.set(name, new Set(names));
  return { ...found, fields };
}

/** Whether a field of an entity may hold what nobody is to read in passing. */
export function isGuarded(entity, name) {
  return SECRETS[entity]?.includes(name) || guarded.get(entity)?.has(name) || false;
}

/** Whether secrets are kept under that name, wherever it is. */
export function soundsSecret(name) {
  return /^(key|key_alt|jwk|pem)$|(password|secret|token|private_key)$/.test(name);
}

/** The fields of a plugin's own part of a record. */
export function pluginSchema(name) {
  return schema(`/schemas/plugins/${encodeURIComponent(name)}`);
}

/** The fields of a vault's own part of a record. */
export function vaultSchema(name) {
  return schema(`/schemas/vaults/${encodeURIComponent(name)}`);
}

async function schema(path) {
  if (!cache.has(path)) {
    const asked = get(path, { global: true }).then((body) => ({ ...body, fields: fieldsOf(body) }));
    cache.set(path, asked);
    // What failed is asked for again.
    asked.catch(() => cache.delete(path));
  }
  return cache.get(path);
}

/** The fields of a record, each with its name in it. */
export function fieldsOf(record) {
  return [...(record.fields ?? []), ...(record.optional_fields ?? [])].map((one) => {
    const [name, field] = Object.entries(one)[0];
    return { name, ...field };
  });
}

/** The record of an entity that is about a plugin (or vault): its own fields in the place of `config`. */
export function combined(outer, own) {
  const replaced = new Map(own.fields.map((field) => [field.name, field]));
  const fields = outer.fields.map((field) => replaced.get(field.name) ?? field);
  return { ...outer, fields };
}

/** What a field has when nobody says anything. */
export function defaultOf(field) {
  if (field.default !== undefined && field.default !== null) return structuredClone(field.default);
  if (field.type === 'record' && field.required && !field.abstract) {
    return Object.fromEntries(fieldsOf(field).map((one) => [one.name, defaultOf(one)]));
  }
  return null;
}

/** What a record of these fields has when nobody says anything. */
export function defaultsOf(fields) {
  return Object.fromEntries(fields.map((field) => [field.name, defaultOf(field)]));
}

/** What a list or map of that field is when there is nothing in it: some have to be there. */
export function emptied(field, nothing) {
  const stays = field.required || (typeof field.default === 'object' && field.default !== null);
  return stays ? nothing : null;
}

/** What of `after` is not as it was `before`; records are compared field by field, as the Admin API merges them. */
export function changes(fields, before, after) {
  const found = {};
  for (const field of fields) {
    const [old, now] = [before?.[field.name] ?? null, after?.[field.name] ?? null];
    if (same(field, old, now)) continue;
    const inside = field.type === 'record' && !field.abstract && now ? fieldsOf(field) : null;
    found[field.name] = inside ? changes(inside, old ?? defaultsOf(inside), now) : now;
  }
  return found;
}

function same(field, a, b) {
  if (field.type === 'record' && a && b) return Object.keys(changes(fieldsOf(field), a, b)).length === 0;
  if (field.type === 'foreign') return (a?.id ?? null) === (b?.id ?? null);
  if (field.type === 'set' && Array.isArray(a) && Array.isArray(b)) {
    const sorted = (list) => list.map((one) => JSON.stringify(one)).sort();
    return equal(sorted(a), sorted(b));
  }
  return equal(a, b);
}
