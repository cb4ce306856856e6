/** The catalogue of plugins: what kind of work each does. Plugins that are not named here are the operator's own. */

const CATEGORIES = {
  authentication: [
    'acme',
    'basic-auth',
    'header-cert-auth',
    'hmac-auth',
    'jwt',
    'key-auth',
    'key-auth-enc',
    'ldap-auth',
    'ldap-auth-advanced',
    'mtls-auth',
    'oauth2',
    'oauth2-introspection',
    'openid-connect',
    'saml',
    'session',
    'standard-webhooks',
    'vault-auth',
    'jwt-signer',
    'jwe-decrypt',
  ],
  security: [
    'acl',
    'bot-detection',
    'cors',
    'injection-protection',
    'ip-restriction',
    'json-threat-protection',
    'oas-validation',
    'opa',
    'request-validator',
    'tls-handshake-modifier',
    'tls-metadata-headers',
    'upstream-oauth',
    'xml-threat-protection',
  ],
  traffic: [
    'canary',
    'forward-proxy',
    'graphql-proxy-cache-advanced',
    'graphql-rate-limiting-advanced',
    'mocking',
    'proxy-cache',
    'proxy-cache-advanced',
    'rate-limiting',
    'rate-limiting-advanced',
    'redirect',
    'request-callout',
    'request-size-limiting',
    'request-termination',
    'retry',
    'traffic-mirror',
    'response-ratelimiting',
    'route-by-header',
    'route-transformer-advanced',
    'service-protection',
    'upstream-timeout',
    'websocket-size-limit',
    'websocket-validator',
  ],
  transformation: [
    'correlation-id',
    'degraphql',
    'exit-transformer',
    'grpc-gateway',
    'grpc-web',
    'jq',
    'kafka-upstream',
    'request-transformer',
    'request-transformer-advanced',
    'response-transformer',
    'response-transformer-advanced',
  ],
  serverless: ['aws-lambda', 'azure-functions', 'post-function', 'pre-function'],
  observability: ['app-dynamics', 'datadog', 'opentelemetry', 'prometheus', 'statsd', 'statsd-advanced', 'zipkin'],
  logging: ['file-log', 'http-log', 'kafka-log', 'loggly', 'syslog', 'tcp-log', 'udp-log'],
};

/** The categories, in the order in which they are shown. */
export const categories = [...Object.keys(CATEGORIES), 'ai', 'other'];

/** The category of a plugin. */
export function categoryOf(name) {
  const found = Object.entries(CATEGORIES).find(([, names]) => names.includes(name));
  return found?.[0] ?? (name.startsWith('ai-') ? 'ai' : 'other');
}

/** What a plugin is called by people. */
export function pluginTitle(name) {
  const words = {
    acl: 'ACL',
    acme: 'ACME',
    aws: 'AWS',
    cors: 'CORS',
    grpc: 'gRPC',
    hmac: 'HMAC',
    http: 'HTTP',
    ip: 'IP',
    jwt: 'JWT',
    ldap: 'LDAP',
    oauth2: 'OAuth 2.0',
    openid: 'OpenID',
    opentelemetry: 'OpenTelemetry',
    statsd: 'StatsD',
    tcp: 'TCP',
    udp: 'UDP',
    jq: 'jq',
    opa: 'OPA',
    mtls: 'mTLS',
    oas: 'OAS',
    json: 'JSON',
    xml: 'XML',
    saml: 'SAML',
    tls: 'TLS',
    ai: 'AI',
    id: 'ID',
    jwe: 'JWE',
    graphql: 'GraphQL',
    kafka: 'Kafka',
  };
  const titled = name.split('-').map((word) => words[word] ?? word.charAt(0).toUpperCase() + word.slice(1));
  return titled.join(' ');
}

/** What a plugin of that name is bound to: the foreign keys of its record. */
export const scopes = ['service', 'route', 'consumer', 'consumer_group'];

/** The entity behind each of them. */
export const scopeEntities = {
  service: 'services',
  route: 'routes',
  consumer: 'consumers',
  consumer_group: 'consumer_groups',
};
