/** What answers is not the Admin API, answers half, answers late, or lets no page of this origin ask. */

import { ADMIN, MANAGER, check, field, press, says, withPage } from './browser.mjs';

const MUCH = '<p>much more</p>'.repeat(500);
const LOGIN = `<html><head><style>p {}</style></head><body><h1>Corporate login</h1>${MUCH}</body></html>`;
const headers = { 'access-control-allow-origin': '*' };
const services = `${ADMIN}/services?*`;

await withPage(
  async (page) => {
    await page.goto(`${MANAGER}/default/services`);
    await says(page, 'There is no service yet.');
    for (const answer of [
      { status: 200, contentType: 'text/html', body: LOGIN },
      { status: 502, contentType: 'text/html', body: LOGIN },
      { status: 200, json: [] },
      { status: 200, json: { data: null } },
      { status: 200, body: '' },
      { status: 200, body: '{"data": [' },
    ]) {
      await page.route(services, (route) => route.fulfill({ ...answer, headers }));
      await page.goto(`${MANAGER}/default/services`);
      await says(page, 'is not the Admin API');
      const shown = await page.locator('main').textContent();
      check(shown.length < 600 && !shown.includes('<'), `a gist is enough: ${shown.length}`);
      await page.unroute(services);
      await press(page, 'Try again');
      await says(page, 'There is no service yet.');
    }
    await writing(page);
    await late(page);
    await blocked(page);
  },
  { tolerated: /CORS policy|status of 502/ },
);

/** A form stays, with words about what has become of it. */
async function writing(page) {
  for (const answer of [{ contentType: 'text/html', body: LOGIN }, { json: [] }, { body: '' }]) {
    await page.goto(`${MANAGER}/default/services/create`);
    await field(page, 'Name').fill('kept');
    await field(page, 'Host').fill('a.test');
    await page.route(`${ADMIN}/services`, (route) =>
      route.request().method() === 'POST' ? route.fulfill({ status: 201, ...answer, headers }) : route.fallback(),
    );
    await press(page, 'Create');
    await says(page, 'whether it was done is not known');
    check((await field(page, 'Name').inputValue()) === 'kept', 'nothing is lost');
    await page.unroute(`${ADMIN}/services`);
    await field(page, 'Name').fill('');
    await field(page, 'Host').fill('');
  }
}

async function late(page) {
  let asked = 0;
  await page.route(services, (route) => {
    asked += 1;
    // The first one is never answered.
    if (asked > 1) route.continue();
  });
  await page.goto(`${MANAGER}/default/services`);
  await says(page, 'The Admin API has not answered yet.');
  await press(page, 'Try again');
  await says(page, 'There is no service yet.');
  await page.unroute(services);
}

async function blocked(page) {
  const elsewhere = { 'access-control-allow-origin': 'https://elsewhere.test' };
  await page.route(`${ADMIN}/**`, (route) => route.fulfill({ json: {}, headers: elsewhere }));
  await page.goto(`${MANAGER}/default/services`);
  await says(page, `lets no page of ${MANAGER} ask it`);
  check((await page.locator('.toast').count()) === 0, 'nobody says that it answers again');
  await page.unroute(`${ADMIN}/**`);
  await says(page, 'The Admin API answers again.');
  await says(page, 'There is no service yet.');
}
