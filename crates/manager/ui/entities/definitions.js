/** What the pages know of entities beyond their schemas: which fields come first, and what belongs to what. */

import { isGuarded } from '../core/schemas.js';
import { kindOf } from './labels.js';

/** Path in the Admin API, columns of the list, groups of the form, and what hangs below a record. */
export const entities = {
  services: {
    path: 'services',
    columns: ['name', 'protocol', 'host', 'port', 'path', 'enabled', 'tags'],
    groups: [
      ['general', ['name', 'protocol', 'host', 'port', 'path', 'tags', 'enabled']],
      ['timing', ['retries', 'connect_timeout', 'write_timeout', 'read_timeout']],
      ['tls', ['client_certificate', 'tls_verify', 'tls_verify_depth', 'ca_certificates', 'tls_sans']],
    ],
    children: [
      ['routes', 'routes'],
      ['plugins', 'plugins'],
    ],
  },
  routes: {
    path: 'routes',
    columns: ['name', 'protocols', 'methods', 'hosts', 'paths', 'expression', 'service', 'tags'],
    groups: [
      ['general', ['name', 'service', 'protocols', 'tags']],
      [
        'matching',
        [
          'paths',
          'methods',
          'hosts',
          'headers',
          'snis',
          'sources',
          'destinations',
          'expression',
          'priority',
          'regex_priority',
        ],
      ],
      [
        'handling',
        [
          'strip_path',
          'path_handling',
          'preserve_host',
          'https_redirect_status_code',
          'request_buffering',
          'response_buffering',
        ],
      ],
    ],
    children: [['plugins', 'plugins']],
  },
  consumers: {
    path: 'consumers',
    columns: ['username', 'custom_id', 'tags', 'created_at'],
    groups: [['general', ['username', 'custom_id', 'tags']]],
    children: [['plugins', 'plugins']],
  },
  consumer_groups: {
    path: 'consumer_groups',
    columns: ['name', 'tags', 'created_at'],
    groups: [['general', ['name', 'tags']]],
    children: [['plugins', 'plugins']],
  },
  plugins: {
    path: 'plugins',
    columns: ['name', 'instance_name', 'scope', 'enabled', 'protocols', 'tags'],
    groups: [
      ['general', ['enabled', 'service', 'route', 'consumer', 'consumer_group']],
      ['settings', ['config']],
      ['advanced', ['instance_name', 'protocols', 'condition', 'partials', 'ordering', 'tags']],
    ],
    children: [],
  },
  upstreams: {
    path: 'upstreams',
    columns: ['name', 'algorithm', 'hash_on', 'slots', 'tags'],
    groups: [
      ['general', ['name', 'algorithm', 'slots', 'host_header', 'client_certificate', 'use_srv_name', 'tags']],
      [
        'hashing',
        [
          'hash_on',
          'hash_on_header',
          'hash_on_cookie',
          'hash_on_cookie_path',
          'hash_on_query_arg',
          'hash_on_uri_capture',
          'hash_fallback',
          'hash_fallback_header',
          'hash_fallback_query_arg',
          'hash_fallback_uri_capture',
        ],
      ],
      ['health', ['healthchecks']],
    ],
    children: [],
  },
  targets: {
    path: 'targets',
    under: ['upstream', 'upstreams'],
    columns: ['target', 'weight', 'tags'],
    groups: [['general', ['target', 'weight', 'tags']]],
    children: [],
  },
  certificates: {
    path: 'certificates',
    columns: ['id', 'cert', 'snis', 'tags', 'created_at'],
    groups: [
      ['general', ['cert', 'key', 'snis', 'tags']],
      ['second', ['cert_alt', 'key_alt']],
    ],
    children: [['snis', 'snis']],
  },
  ca_certificates: {
    path: 'ca_certificates',
    columns: ['id', 'cert', 'cert_digest', 'tags'],
    groups: [['general', ['cert', 'tags']]],
    children: [],
  },
  snis: {
    path: 'snis',
    columns: ['name', 'certificate', 'tags'],
    groups: [['general', ['name', 'certificate', 'tags']]],
    children: [],
  },
  keys: {
    path: 'keys',
    columns: ['name', 'kid', 'set', 'tags'],
    groups: [['general', ['name', 'kid', 'set', 'jwk', 'pem', 'tags']]],
    children: [],
  },
  key_sets: {
    path: 'key-sets',
    columns: ['name', 'tags', 'created_at'],
    groups: [['general', ['name', 'tags']]],
    children: [['keys', 'keys']],
  },
  vaults: {
    path: 'vaults',
    columns: ['prefix', 'name', 'description', 'tags'],
    groups: [
      ['general', ['prefix', 'description', 'tags']],
      ['settings', ['config']],
    ],
    children: [],
  },
  partials: {
    path: 'partials',
    columns: ['name', 'type', 'tags'],
    groups: [['general', ['name', 'type', 'config', 'tags']]],
    children: [],
  },
  workspaces: {
    path: 'workspaces',
    global: true,
    columns: ['name', 'comment', 'created_at'],
    groups: [['general', ['name', 'comment']]],
    children: [],
  },
  rbac_roles: {
    path: 'rbac/roles',
    columns: ['name', 'comment', 'created_at'],
    groups: [['general', ['name', 'comment']]],
    children: [],
  },
  rbac_users: {
    path: 'rbac/users',
    columns: ['name', 'enabled', 'comment', 'created_at'],
    groups: [['general', ['name', 'user_token', 'enabled', 'comment']]],
    children: [],
  },
  groups: {
    path: 'groups',
    global: true,
    columns: ['name', 'comment', 'created_at'],
    groups: [['general', ['name', 'comment']]],
    children: [],
  },
  admins: {
    path: 'admins',
    columns: ['username', 'email', 'custom_id', 'status', 'created_at'],
    groups: [['general', ['username', 'email', 'custom_id', 'rbac_token_enabled']]],
    children: [],
  },
};

/** Entities of consumers: the path below a consumer, and the columns. */
export const credentials = {
  keyauth_credentials: { path: 'key-auth', columns: ['key', 'ttl', 'tags', 'created_at'] },
  basicauth_credentials: { path: 'basic-auth', columns: ['username', 'tags', 'created_at'] },
  hmacauth_credentials: { path: 'hmac-auth', columns: ['username', 'tags', 'created_at'] },
  jwt_secrets: { path: 'jwt', columns: ['key', 'algorithm', 'tags', 'created_at'] },
  oauth2_credentials: { path: 'oauth2', columns: ['name', 'client_id', 'client_type', 'created_at'] },
  acls: { path: 'acls', columns: ['group', 'tags', 'created_at'] },
};

/** What pages are called in addresses where that is not the entity's name. */
export const aliases = {
  'ca-certificates': 'ca_certificates',
  'consumer-groups': 'consumer_groups',
  'key-sets': 'key_sets',
};

/** The definition of an entity, also of one that these pages have never heard of. */
export function definition(name) {
  const known = entities[name] ?? credentials[name];
  return { path: name, columns: ['id', 'name', 'tags'], groups: [], children: [], ...known };
}

/** Fields that tell records apart, in this order. A key is none: of certificates and credentials it is the secret. */
const NAMES = ['name', 'username', 'instance_name', 'prefix', 'target', 'custom_id', 'group', 'kid', 'host'];

/** What a record of an entity is called: by a name that it has, and never by a secret. */
export function titleOf(record, entity) {
  const values = NAMES.filter((name) => !isGuarded(entity, name)).map((name) => record[name]);
  const found = values.find((value) => typeof value === 'string' && value !== '');
  if (found) return found;
  if (entity === 'certificates' && record.snis?.length > 0) return record.snis.join(', ');
  const id = record.id?.slice(0, 8) ?? '';
  return isSecretive(entity) ? `${kindOf(entity)} ${id}` : id;
}

/** Whether most records of an entity have no name that could be shown. */
function isSecretive(entity) {
  return entity in credentials || ['certificates', 'ca_certificates'].includes(entity);
}

/** What a record is called in addresses: by its id, which never changes. */
export function keyOf(record) {
  return record.id ?? record.name;
}
