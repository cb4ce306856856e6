/** A node whose configuration is a file: everything can be looked at, and nothing is offered that it would refuse. */

import { ADMIN, MANAGER, check, says, withPage } from './browser.mjs';

const first = async (path) => (await (await fetch(`${ADMIN}/${path}`)).json()).data[0].id;
const pages = ['services', 'upstreams', 'consumers', 'plugins'];

await withPage(async (page) => {
  await page.goto(`${MANAGER}/default/overview`);
  await page.locator('main h1').waitFor();
  for (const entity of pages) {
    for (const path of [entity, `${entity}/${await first(entity)}`, `${entity}/create?name=cors`]) {
      await page.goto(`${MANAGER}/default/${path}`);
      await says(page, 'records are for reading only');
      const offered = page.locator('main').getByRole('button', { name: /^(Create|Save|Delete|Take out|Add$)/ });
      check((await offered.count()) === 0, `${path}: ${await offered.allTextContents()}`);
      const links = page.locator('main').getByRole('link', { name: /^(New|Edit)/ });
      check((await links.count()) === 0, `${path}: ${await links.allTextContents()}`);
    }
  }
  await page.getByRole('link', { name: 'Import another file' }).click();
  await page.getByRole('button', { name: 'Load it' }).waitFor();
});
