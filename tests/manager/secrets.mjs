/** Secrets are nowhere on a page until somebody wants to see them: no heading, title, list, toast or dialog has one. */

import { ADMIN, MANAGER, check, field, press, says, withPage } from './browser.mjs';

const { CERTIFICATE, KEY } = process.env;
const API_KEY = 'api-key-for-nobody';

await withPage(async (page) => {
  await certificate(page);
  await apiKey(page);
  await madeUp(page);
});

/** Fails when the page, its title or an attribute has a secret in it. */
async function hidden(page, secret, where) {
  const found = await page.evaluate(() => document.title + document.documentElement.outerHTML);
  check(!found.includes(secret), `${where}: the secret is on the page`);
}

async function heading(page, name) {
  await page.getByRole('heading', { name, exact: true }).waitFor();
}

async function dialogOf(page, secret, name) {
  await press(page, 'Delete');
  await page.getByRole('dialog', { name: `Delete ${name}?` }).waitFor();
  await hidden(page, secret, 'dialog');
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
}

/** A certificate is known by its names. */
async function certificate(page) {
  const secret = KEY.split('\n')[1];
  await page.goto(`${MANAGER}/default/certificates/create`);
  await field(page, 'Certificate').fill(CERTIFICATE);
  await field(page, 'Key').fill(KEY);
  await field(page, 'SNIs').fill('a.test');
  await page.keyboard.press('Enter');
  await press(page, 'Create');
  await says(page, 'a.test is created.');
  await heading(page, 'a.test');
  await hidden(page, secret, 'page');
  await dialogOf(page, secret, 'a.test');
  await page.getByRole('tab', { name: 'History' }).click();
  await page.getByRole('tabpanel').getByRole('button', { name: 'Details' }).first().click();
  await says(page, '••••••••');
  await hidden(page, secret, 'history');
  await page.goto(`${MANAGER}/default/snis`);
  await page.getByRole('cell', { name: 'a.test' }).nth(1).waitFor();
  await hidden(page, secret, 'names');
  await page.goto(`${MANAGER}/default/snis/create`);
  await field(page, 'Certificate').fill('a.test');
  await page.getByRole('option', { name: 'a.test' }).waitFor();
  await hidden(page, secret, 'picker');
  await page.goto(`${MANAGER}/default/changes`);
  await page.getByRole('link', { name: 'a.test', exact: true }).first().waitFor();
  await hidden(page, secret, 'changes');
}

async function apiKey(page) {
  const consumer = await created('consumers', { username: 'c' });
  await page.goto(`${MANAGER}/default/consumers/${consumer.id}/credentials/keyauth_credentials`);
  const key = field(page, 'Key');
  check((await key.getAttribute('type')) === 'password', 'a key is not read over a shoulder');
  await key.fill(API_KEY);
  await press(page, 'Create');
  await page.getByRole('heading', { name: /^API key / }).waitFor();
  const [{ id }] = (await read(`consumers/c/key-auth`)).data;
  const name = `API key ${id.slice(0, 8)}`;
  await says(page, `${name} is created.`);
  await heading(page, name);
  await hidden(page, API_KEY, 'credential');
  await dialogOf(page, API_KEY, name);
  await page.goto(`${MANAGER}/default/consumers/${consumer.id}?view=credentials`);
  await page.getByRole('link', { name, exact: true }).waitFor();
  await hidden(page, API_KEY, 'list');
  await page.getByRole('button', { name: 'Show', exact: true }).click();
  await says(page, API_KEY);
  await page.getByRole('button', { name: 'Hide', exact: true }).click();
  await hidden(page, API_KEY, 'list, hidden again');
}

/** What the node makes up is found on the page of the credential, which can be changed. */
async function madeUp(page) {
  const consumer = await read('consumers/c');
  await page.goto(`${MANAGER}/default/consumers/${consumer.id}/credentials/jwt_secrets`);
  await field(page, 'Key').fill('issuer');
  await press(page, 'Create');
  await page.getByRole('heading', { name: /^JWT credential / }).waitFor();
  const [{ secret }] = (await read('consumers/c/jwt')).data;
  await hidden(page, secret, 'credential');
  await page.getByRole('button', { name: 'Show', exact: true }).first().click();
  await says(page, secret);
  await press(page, 'Edit');
  await field(page, 'Key').fill('another');
  await press(page, 'Save');
  await page.locator('.toast', { hasText: 'is saved.' }).waitFor();
  const [changed] = (await read('consumers/c/jwt')).data;
  check(changed.key === 'another' && changed.secret === secret, JSON.stringify(changed));
  await press(page, 'Delete');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete', exact: true }).click();
  await heading(page, 'c');
  check((await read('consumers/c/jwt')).data.length === 0, 'the credential is gone');
}

async function read(path) {
  return (await fetch(`${ADMIN}/${path}`)).json();
}

async function created(path, record) {
  const headers = { 'Content-Type': 'application/json' };
  const answer = await fetch(`${ADMIN}/${path}`, { method: 'POST', headers, body: JSON.stringify(record) });
  return answer.json();
}
