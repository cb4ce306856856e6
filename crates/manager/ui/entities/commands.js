/** The same actions for a terminal: as a line of `curl`, and as what `deck` reads. */

import { scope } from '../core/api.js';
import { api, login, tokenHeader } from '../core/config.js';
import { definition } from './definitions.js';
import { yaml } from './yaml.js';

/** What a shell takes as one word. */
export function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** The line of `curl` that sends a request. A token stands there by the name of a variable. */
export function curl(method, path, content, { global = false } = {}) {
  const place = global || scope.workspace === 'default' ? path : `/${scope.workspace}${path}`;
  const parts = ['curl'];
  if (method !== 'GET') parts.push('-X', method);
  parts.push(quoted(api + place));
  if (login !== 'none') parts.push('-H', `"${tokenHeader}: $KONG_ADMIN_TOKEN"`);
  if (content !== undefined && content !== null) {
    parts.push('--json', quoted(JSON.stringify(content, null, 2)));
  }
  return parts.join(' ');
}

/** The file that `deck gateway apply` makes that record from; null where deck does not know the entity. */
export function deck(entity, record, parent) {
  const names = {
    services: 'services',
    routes: 'routes',
    consumers: 'consumers',
    consumer_groups: 'consumer_groups',
    plugins: 'plugins',
    upstreams: 'upstreams',
    certificates: 'certificates',
    ca_certificates: 'ca_certificates',
    vaults: 'vaults',
    snis: 'snis',
    keys: 'keys',
    key_sets: 'key_sets',
    partials: 'partials',
  };
  const own = withoutNulls(record);
  let file;
  if (entity === 'targets' && parent) {
    const { upstream, ...target } = own;
    file = { upstreams: [{ name: parent.name, targets: [target] }] };
  } else if (parent && parent.username !== undefined && definition(entity).path !== entity) {
    const { consumer, ...credential } = own;
    file = { consumers: [{ username: parent.username ?? undefined, [entity]: [credential] }] };
  } else if (names[entity]) {
    file = { [names[entity]]: [own] };
  } else {
    return null;
  }
  const text = yaml({ _format_version: '3.0', ...file });
  const workspace = scope.workspace === 'default' ? '' : ` --workspace ${quoted(scope.workspace)}`;
  const address = api === 'http://localhost:8001' ? '' : ` --kong-addr ${quoted(api)}`;
  return `deck gateway apply${workspace}${address} - <<'EOF'\n${text}EOF`;
}

/** A record without what is not set. */
export function withoutNulls(value) {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (value === null || typeof value !== 'object') return value;
  const kept = Object.entries(value).filter(([, one]) => one !== null && one !== undefined);
  return Object.fromEntries(kept.map(([name, one]) => [name, withoutNulls(one)]));
}
