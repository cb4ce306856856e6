/** Pages of another origin, before and after somebody has logged in: what they can do, and what a session is worth. */

import { createServer } from 'node:http';
import { ADMIN, MANAGER, check, field, press, says, withPage } from './browser.mjs';

const { PASSWORD } = process.env;

/** A page of somebody else's on this machine: to browsers, another origin of the same site. */
const server = createServer((request, response) => {
  response.setHeader('Content-Type', 'text/html');
  response.end('<!doctype html><title>evil</title><iframe name="sink"></iframe>');
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const evil = `http://127.0.0.1:${server.address().port}`;

try {
  await withPage(attack);
} finally {
  server.close();
}

async function attack(page) {
  const context = page.context();
  const [admin] = [new URL(ADMIN)];
  // A session that somebody else has chosen is not the one that a login begins.
  await context.addCookies([{ name: 'session', value: 'chosen', domain: admin.hostname, path: '/' }]);
  await page.goto(MANAGER);
  await logIn(page);
  const cookie = await session(context);
  check(cookie.value !== 'chosen', 'a login begins a session of its own');
  check(cookie.httpOnly && cookie.sameSite === 'Strict', JSON.stringify(cookie));
  check((await page.evaluate(() => document.cookie)) === '', 'no script sees the session');

  const other = await context.newPage();
  await other.goto(evil);
  const tried = await other.evaluate(attempts, { admin: ADMIN, manager: MANAGER });
  check(tried.read === 'refused', `nothing is read from another origin: ${tried.read}`);
  for (const [kind, outcome] of Object.entries(tried.written)) check(outcome !== 'read', `${kind}: ${outcome}`);
  const token = { headers: { 'Kong-Admin-Token': PASSWORD } };
  const { data } = await (await fetch(`${ADMIN}/services`, token)).json();
  check(data.length === 0, `nothing is written from another origin: ${JSON.stringify(data)}`);
  check(!(await framed(other)), 'the pages are in no frame of another origin');

  // What was copied before somebody has logged out is worth nothing afterwards.
  const copied = { headers: { Cookie: `session=${cookie.value}`, 'Kong-Admin-User': 'kong_admin', Origin: MANAGER } };
  check((await fetch(`${ADMIN}/services`, copied)).status === 200, 'the session counts while it lasts');
  await page.getByLabel('Account').click();
  await press(page, 'Log out');
  await field(page, 'Password').waitFor();
  check((await fetch(`${ADMIN}/services`, copied)).status === 401, 'the session has ended with the logout');

  // Wrong passwords are counted; afterwards the right one is refused, too.
  for (let number = 0; number < 3; number += 1) await wrong(page, 'guessed');
  await wrong(page, PASSWORD);
}

async function logIn(page) {
  await field(page, 'Name').fill('kong_admin');
  await field(page, 'Password').fill(PASSWORD);
  await press(page, 'Log in');
  await page.getByRole('heading', { name: 'Overview', exact: true }).waitFor();
}

/** A password that is refused. */
async function wrong(page, password) {
  await field(page, 'Name').fill('kong_admin');
  await field(page, 'Password').fill(password);
  const answered = page.waitForResponse((response) => response.url().startsWith(`${ADMIN}/auth`));
  await press(page, 'Log in');
  check((await answered).status() === 401, `${password} is refused`);
  await says(page, 'That is not right.');
}

async function session(context) {
  const cookies = await context.cookies(ADMIN);
  return cookies.find(({ name }) => name === 'session');
}

/** What a page can try: forms, simple requests, those that browsers ask about first, and reading. */
async function attempts({ admin }) {
  const outcome = async (request) => {
    try {
      const answer = await request();
      return answer.type === 'opaque' ? 'sent' : 'read';
    } catch {
      return 'refused';
    }
  };
  const post = (type, body, mode) => () =>
    fetch(`${admin}/services`, { method: 'POST', mode, credentials: 'include', headers: { 'Content-Type': type }, body });
  const form = 'application/x-www-form-urlencoded';
  const json = JSON.stringify({ name: 'evil', host: 'evil' });
  const written = {
    form: await outcome(post(form, 'name=evil&host=evil', 'no-cors')),
    text: await outcome(post('text/plain', json, 'no-cors')),
    json: await outcome(post('application/json', json, 'cors')),
    beacon: navigator.sendBeacon(`${admin}/services`, new URLSearchParams('name=evil&host=evil')) ? 'sent' : 'refused',
  };
  const sent = document.createElement('form');
  Object.assign(sent, { method: 'post', action: `${admin}/services`, target: 'sink' });
  for (const name of ['name', 'host']) {
    const input = document.createElement('input');
    Object.assign(input, { name, value: 'evil' });
    sent.append(input);
  }
  document.body.append(sent);
  const loaded = new Promise((resolve) => {
    document.querySelector('iframe').addEventListener('load', resolve, { once: true });
  });
  sent.submit();
  await loaded;
  const read = await outcome(() => fetch(`${admin}/services`, { credentials: 'include' }));
  return { read, written };
}

/** Whether the manager can be seen in a frame of that page. */
async function framed(page) {
  await page.evaluate(async (address) => {
    const frame = document.createElement('iframe');
    frame.name = 'framed';
    const loaded = new Promise((resolve) => frame.addEventListener('load', resolve, { once: true }));
    frame.src = address;
    document.body.append(frame);
    await loaded;
  }, MANAGER);
  const frame = page.frame('framed');
  return frame.evaluate(() => document.querySelector('main') !== null).catch(() => false);
}
