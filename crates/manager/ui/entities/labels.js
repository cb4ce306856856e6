/** Names of fields as people write them. */

import { known } from '../core/texts.js';

const WHOLE = {
  acl: 'ACL',
  api: 'API',
  aws: 'AWS',
  ca: 'CA',
  cidr: 'CIDR',
  cors: 'CORS',
  dns: 'DNS',
  grpc: 'gRPC',
  hmac: 'HMAC',
  http: 'HTTP',
  https: 'HTTPS',
  id: 'ID',
  ip: 'IP',
  ips: 'IPs',
  json: 'JSON',
  jwk: 'JWK',
  jwks: 'JWKS',
  jwt: 'JWT',
  kid: 'key ID',
  ldap: 'LDAP',
  oauth2: 'OAuth 2.0',
  pem: 'PEM',
  sni: 'SNI',
  snis: 'SNIs',
  sql: 'SQL',
  srv: 'SRV',
  ssl: 'SSL',
  tcp: 'TCP',
  tls: 'TLS',
  ttl: 'TTL',
  udp: 'UDP',
  uri: 'URI',
  uris: 'URIs',
  url: 'URL',
  xml: 'XML',
};

/** The label of a field: translated where there is a text, else made from its name. */
export function labelOf(name) {
  const text = known(`field.${name}`);
  if (text) return text;
  const words = name.split(/[_\s]+/).map((word) => WHOLE[word.toLowerCase()] ?? word);
  const label = words.join(' ');
  return label.charAt(0).toUpperCase() + label.slice(1);
}

/** What one record of an entity is called. */
export function kindOf(entity) {
  return known(`one.${entity}`) ?? known(`page.${entity}`) ?? labelOf(entity);
}

/** What a field is for, where there is a text. */
export function helpOf(entity, name) {
  return known(`help.${entity}.${name}`) ?? known(`help.${name}`);
}
