/** What `kconfig.js` says: where the Admin API is, and how people say who they are. */

const given = window.K_CONFIG ?? {};

/** Below it are all pages; ends with a slash. */
export const base = new URL(document.baseURI).pathname;

/** How people log in: `basic-auth`, `ldap-auth-advanced`, `openid-connect`, `token`, or `none`. */
export const login = given.ADMIN_GUI_AUTH || (given.RBAC_ENFORCED === 'true' ? 'token' : 'none');

/** Whether browsers have sessions, and whether their owners are known elsewhere. */
export const hasSessions = !['token', 'none'].includes(login);
export const isKnownElsewhere = ['ldap-auth-advanced', 'openid-connect'].includes(login);

/** The header that carries a token. */
export const tokenHeader = given.RBAC_HEADER || 'Kong-Admin-Token';

/** The header that says who is meant to be logged in. */
export const userHeader = given.RBAC_USER_HEADER || 'Kong-Admin-User';

/** A line that stands above (`HEADER`) or below (`FOOTER`) all pages, and its colours. */
export function lineOf(place) {
  const part = (name) => given[`ADMIN_GUI_${place}_${name}`] || null;
  return { text: part('TXT'), background: part('BG_COLOR'), color: part('TXT_COLOR') };
}

/** What stands above the form to log in. */
export const banner = { title: given.ADMIN_GUI_LOGIN_BANNER_TITLE, body: given.ADMIN_GUI_LOGIN_BANNER_BODY };

/** The URL of the Admin API, without a slash at the end. */
export const api = url();

function url() {
  const named = given.ADMIN_API_URL;
  if (named) return (named.includes('://') ? named : `${location.protocol}//${named}`).replace(/\/+$/, '');
  const ports = { 'http:': given.ADMIN_API_PORT, 'https:': given.ADMIN_API_SSL_PORT };
  const other = location.protocol === 'https:' ? 'http:' : 'https:';
  const scheme = ports[location.protocol] ? location.protocol : ports[other] ? other : location.protocol;
  return `${scheme}//${location.hostname}:${ports[scheme] || '8001'}`;
}
