/** The chapters of the Get Started guide, by clicks alone. */

import { check, field, press, proxied, says, withPage } from './browser.mjs';

const { FIRST, SECOND } = process.env;

await withPage(async (page) => {
  await page.goto(process.env.MANAGER);
  if (process.env.PASSWORD) {
    await field(page, 'Name').fill('kong_admin');
    await field(page, 'Password').fill('wrong');
    await press(page, 'Log in');
    await says(page, 'That is not right.');
    await field(page, 'Password').fill(process.env.PASSWORD);
    await press(page, 'Log in');
  }
  await page.getByRole('heading', { name: 'Overview', exact: true }).waitFor();
  await services(page);
  await rateLimiting(page);
  await caching(page);
  await keyAuthentication(page);
  await loadBalancing(page);
});

async function services(page) {
  await press(page, 'Services');
  await press(page, 'New service');
  await press(page, 'Create');
  await says(page, 'required field missing');
  await field(page, 'Name').fill('example_service');
  await field(page, 'URL').fill(`http://${FIRST}`);
  await press(page, 'Create');
  await page.getByRole('heading', { name: 'example_service', exact: true }).waitFor();
  await press(page, 'Edit');
  await page.getByRole('button', { name: 'Save', exact: true }).waitFor();
  await page.getByText('Retries and timeouts').click();
  await field(page, 'Retries').fill('6');
  await press(page, 'Save');
  await says(page, 'example_service is saved.');
  await page.getByRole('tab', { name: 'Routes' }).click();
  await press(page, 'New route');
  await field(page, 'Name').fill('example_route');
  await field(page, 'Paths').fill('mock');
  await press(page, 'Create');
  await says(page, 'should start with: /');
  await page.getByRole('button', { name: 'Remove mock' }).click();
  await field(page, 'Paths').fill('/mock');
  await page.keyboard.press('Enter');
  await press(page, 'Create');
  await page.getByRole('link', { name: 'example_route' }).first().click();
  await press(page, 'Edit');
  await page.getByRole('button', { name: 'Save', exact: true }).waitFor();
  await field(page, 'Tags').fill('tutorial');
  await press(page, 'Save');
  await says(page, 'tutorial');
  check((await proxied('/mock/anything')).status === 200, 'the route leads to the service');
}

/** Chooses a plugin in the catalogue. */
async function choose(page, name) {
  await press(page, 'Plugins');
  await press(page, 'New plugin');
  await page.getByLabel('Search plugins').fill(name);
  await page.locator(`[data-plugin="${name}"]`).click();
}

async function rateLimiting(page) {
  await choose(page, 'rate-limiting');
  await press(page, 'Create');
  await says(page, 'at least one of these fields must be non-empty');
  await field(page, 'Minute').fill('5');
  await field(page, 'Policy').selectOption('local');
  await press(page, 'Create');
  await page.getByRole('heading', { name: 'Rate Limiting', exact: true }).waitFor();
  const statuses = [];
  for (let number = 0; number < 12; number += 1) statuses.push((await proxied('/mock/anything')).status);
  check(statuses.includes(429), `more than five are refused, in whichever minute: ${statuses}`);
  await press(page, 'Delete');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete', exact: true }).click();
  await says(page, 'is deleted');
}

async function caching(page) {
  await choose(page, 'proxy-cache');
  await field(page, 'Strategy').selectOption('memory');
  await field(page, 'Content type').fill('application/json');
  await field(page, 'Cache TTL').fill('30');
  await press(page, 'Create');
  await page.getByRole('heading', { name: 'Proxy Cache', exact: true }).waitFor();
  const states = [];
  for (let number = 0; number < 2; number += 1)
    states.push((await proxied('/mock/cached')).headers.get('x-cache-status'));
  check(states.join() === 'Miss,Hit', `the second one is kept: ${states}`);
  await page.getByRole('switch').first().click();
  await says(page, 'proxy-cache is off');
}

async function keyAuthentication(page) {
  await press(page, 'Consumers');
  await press(page, 'New consumer');
  await field(page, 'Username').fill('luka');
  await press(page, 'Create');
  await page.getByRole('heading', { name: 'luka', exact: true }).waitFor();
  await page.getByText('New credential').click();
  await press(page, 'API keys');
  await field(page, 'Key').fill('top-secret-key');
  await press(page, 'Create');
  await page.getByRole('heading', { name: /^API key / }).waitFor();
  await choose(page, 'key-auth');
  await press(page, 'Create');
  await page.getByRole('heading', { name: 'Key Auth', exact: true }).waitFor();
  const status = async (headers) => (await proxied('/mock/anything', headers)).status;
  check((await status({})) === 401, 'nobody comes in without a key');
  check((await status({ apikey: 'top-secret-key' })) === 200, 'luka comes in');
  await page.getByRole('switch').first().click();
  await says(page, 'key-auth is off');
  check((await status({})) === 200, 'nobody is asked any more');
}

async function loadBalancing(page) {
  await press(page, 'Upstreams');
  await press(page, 'New upstream');
  await field(page, 'Name').fill('example_upstream');
  await press(page, 'Create');
  for (const target of [FIRST, SECOND]) {
    await press(page, 'New target');
    await field(page, 'Target').fill(target);
    await press(page, 'Create');
    await page.locator('td', { hasText: target }).waitFor();
  }
  await press(page, 'Services');
  await page.getByRole('link', { name: 'example_service' }).first().click();
  await press(page, 'Edit');
  await page.getByRole('button', { name: 'Save', exact: true }).waitFor();
  await field(page, 'Host').fill('example_upstream');
  await press(page, 'Save');
  await says(page, 'example_service is saved.');
  const seen = new Set();
  for (let number = 0; number < 4; number += 1) seen.add((await (await proxied('/mock/anything')).json()).backend);
  check(seen.size === 2, `both targets answer: ${[...seen]}`);
  await press(page, 'Upstreams');
  await page.getByRole('link', { name: 'example_upstream' }).first().click();
  await page.getByRole('button', { name: 'Take out' }).first().click();
  await says(page, 'gets no new requests');
  await page.getByRole('button', { name: 'Put back' }).waitFor();
}
