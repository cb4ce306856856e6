/** Logging in with the account that somebody has at an issuer of OpenID Connect, by clicks alone. */

import { ADMIN, MANAGER, check, field, press, says, withPage } from './browser.mjs';

const { FRONT, ISSUER, TOKEN } = process.env;

await fetch(`${FRONT}/lead?${new URLSearchParams({ admin: ADMIN, manager: MANAGER })}`);
const asRoot = (path, record, method = 'POST') =>
  fetch(`${ADMIN}${path}`, {
    method,
    headers: { 'Content-Type': 'application/json', 'Kong-Admin-Token': TOKEN },
    body: JSON.stringify(record),
  }).then((answer) => answer.json());
await asRoot('/admins', { username: 'ada@corp.test', email: 'ada@corp.test' });
const group = await asRoot('/groups', { name: 'operators' });
const all = await asRoot('/rbac/roles/super-admin', undefined, 'GET');
const { id } = await asRoot('/workspaces/default', undefined, 'GET');
await asRoot(`/groups/${group.id}/roles`, { rbac_role_id: all.id, workspace_id: id });

/** What the pages of the issuer would like to have. */
const FONTS = 'https://fonts.googleapis.com';
for (const work of [unknown, known])
  await withPage(
    async (page) => {
      await page.context().route(`${FONTS}/**`, (route) => route.abort());
      await work(page);
    },
    { origins: [ISSUER, FRONT, FONTS] },
  );

/** Somebody with an account who is no administrator, and then another one who is. */
async function unknown(page) {
  await page.goto(MANAGER);
  await press(page, 'Log in');
  await atIssuer(page, 'bob');
  await says(page, 'You have logged in there, but may not use this manager.');
  await press(page, 'Log in as somebody else');
  await leaveIssuer(page);
  await press(page, 'Log in');
  await atIssuer(page, 'ada');
  await heading(page, 'Overview');
}

async function known(page) {
  const context = page.context();
  // Whoever has come by a link is where it leads to afterwards.
  await page.goto(`${MANAGER}/default/consumers`);
  await press(page, 'Log in');
  await atIssuer(page, 'ada');
  await heading(page, 'Consumers');
  const cookies = await context.cookies([`${ADMIN}/auth`]);
  const named = (name) => cookies.find((cookie) => cookie.name === name);
  for (const name of ['session', 'openid_session'])
    check(named(name).httpOnly && named(name).sameSite === 'Strict', JSON.stringify(named(name)));
  check(named('openid_session').path === '/auth', 'what the issuer has given goes nowhere else');
  check(!named('authorization'), 'a login leaves nothing behind');
  await page.goto(`${MANAGER}/default/account`);
  await says(page, 'operators');
  await says(page, 'default:read-only');
  check((await page.getByText('nothing', { exact: true }).count()) === 0, 'what stands for nothing is not kept');
  check((await page.getByText('Present password').count()) === 0, 'passwords are the provider’s');

  // What was filled in while the session has ended is there after a login in another window.
  await page.goto(`${MANAGER}/default/services/create`);
  await field(page, 'Name').fill('kept');
  await field(page, 'Host').fill('a.test');
  await context.clearCookies({ name: 'session' });
  await press(page, 'Create');
  await page.getByRole('dialog').waitFor();
  const opened = context.waitForEvent('page');
  await page.getByRole('dialog').getByRole('button', { name: 'Log in', exact: true }).click();
  await opened;
  await heading(page, 'kept');

  // A state that this browser has not been given, and one of a login that is over.
  const forged = await fetch(`${ADMIN}/auth?code=c&state=s`, { redirect: 'manual' });
  check(forged.status === 302 && forged.headers.get('location').startsWith(ISSUER), 'a login begins anew');
  const begun = forged.headers.getSetCookie().find((line) => line.startsWith('authorization=')).split(';')[0];
  const answer = await fetch(`${ADMIN}/auth?code=c&state=s`, { redirect: 'manual', headers: { Cookie: begun } });
  check(answer.status === 401, `a forged state is refused: ${answer.status}`);
  check(!answer.headers.getSetCookie().some((line) => line.startsWith('session=')), 'and begins no session');

  const later = (await context.cookies(ADMIN)).find(({ name }) => name === 'session');
  check(later.value !== named('session').value, 'each login begins a session of its own');
  const copied = { headers: { Cookie: `session=${later.value}` } };
  check((await fetch(`${ADMIN}/services`, copied)).status === 200, 'the session counts while it lasts');
  await page.getByLabel('Account').click();
  await press(page, 'Log out');
  await leaveIssuer(page);
  await page.getByRole('dialog').waitFor();
  check((await fetch(`${ADMIN}/services`, copied)).status === 401, 'the session has ended with the logout');
  // The account at the issuer is asked for anew.
  await press(page, 'Log in');
  await page.getByPlaceholder('Enter any login').waitFor();
}

/** The pages of the issuer: any password will do, and consent is asked for once. */
async function atIssuer(page, account) {
  await page.getByPlaceholder('Enter any login').fill(account);
  await page.getByPlaceholder('and password').fill('x');
  await page.getByRole('button', { name: 'Sign-in' }).click();
  await page.getByRole('button', { name: 'Continue' }).click();
}

async function leaveIssuer(page) {
  await page.getByRole('button', { name: 'Yes, sign me out' }).click();
}

async function heading(page, name) {
  await page.getByRole('heading', { name, exact: true }).waitFor();
}
