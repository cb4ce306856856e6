/** A large configuration: no page grows with it, by elements or by requests. */

import { ADMIN, MANAGER, check, withPage } from './browser.mjs';

/** So many elements a page may have, and so many requests it may send to the Admin API until everything is there. */
const [ELEMENTS, REQUESTS] = [9000, 120];

const upstream = `upstreams/${(await (await fetch(`${ADMIN}/upstreams/u-0`)).json()).id}`;

await withPage(async (page) => {
  let requests = 0;
  page.on('request', (request) => {
    if (request.url().startsWith(ADMIN)) requests += 1;
  });
  const look = async (path, shown) => {
    requests = 0;
    await page.goto(`${MANAGER}/default/${path}`);
    await shown.first().waitFor();
    const elements = await page.evaluate(() => document.querySelectorAll('*').length);
    check(elements < ELEMENTS, `${path} has ${elements} elements`);
    check(requests < REQUESTS, `${path} asks ${requests} times`);
  };
  const row = (name) => page.getByRole('row').filter({ hasText: name });
  await look('overview', page.getByText('5,000'));
  await look('routes', row('/r'));
  await look('services', row('http'));
  await look('upstreams', row('u-'));
  await look('map', page.getByText('The first 40 services are drawn'));
  await look(upstream, row('10.0.'));
  check((await page.locator('main tbody tr').count()) <= 200, 'of a thousand targets some have a row');
  await page.getByRole('searchbox').fill('10.0.3.249');
  await page.locator('main tbody tr').nth(1).waitFor({ state: 'detached' });
  await row('10.0.3.249:80').waitFor();

  // What is listed is found on the server.
  await page.goto(`${MANAGER}/default/routes`);
  await page.getByRole('searchbox').first().fill('route-4999');
  await row('route-4999').waitFor();
  await row('route-4998').waitFor({ state: 'detached' });
});
