/**
 * An issuer of OpenID Connect that others have made, and a server in front of the node whose addresses are known before
 * the node has any: `/auth` leads to the Admin API, all else to the manager, once `/lead` has said where they are.
 */

import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(`${process.env.BROWSER}/package.json`);
const { Provider } = await import(pathToFileURL(require.resolve('oidc-provider')));

/** Groups that accounts are in. */
const GROUPS = { ada: ['operators', 'nothing', 'default:read-only'], bob: [] };

const listening = async (server) => {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${server.address().port}`;
};

let [admin, manager] = [null, null];
const front = createServer((request, response) => {
  const { pathname, search, searchParams } = new URL(request.url, 'http://front');
  if (pathname === '/lead') {
    admin = searchParams.get('admin');
    manager = searchParams.get('manager');
    return response.end();
  }
  response.writeHead(302, { Location: pathname === '/auth' ? `${admin}/auth${search}` : `${manager}/${search}` });
  response.end();
});
const gateway = await listening(front);

const server = createServer();
const issuer = await listening(server);
const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'manager',
      client_secret: 'of-manager',
      redirect_uris: [`${gateway}/auth`],
      post_logout_redirect_uris: [gateway],
      grant_types: ['authorization_code', 'refresh_token'],
    },
  ],
  cookies: { keys: ['k'] },
  pkce: { required: () => true },
  claims: { openid: ['sub'], email: ['email', 'groups'] },
  conformIdTokenClaims: false,
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@corp.test`, groups: GROUPS[id] }),
  }),
  features: { devInteractions: { enabled: true }, revocation: { enabled: true }, rpInitiatedLogout: { enabled: true } },
});
server.on('request', provider.callback());
console.log(JSON.stringify({ issuer, gateway }));
