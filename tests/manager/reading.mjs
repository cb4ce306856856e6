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
  await loading(page);
});

/** A file takes the place of everything only after one has seen what would go. */
async function loading(page) {
  const load = page.locator('main').getByRole('button', { name: 'Load it' });
  await load.click();
  await says(page, 'There is no text to load.');
  await page.getByLabel('The file’s text').fill('_format_version: "3.0"\nservices:\n- name: t\n  host: u\n');
  await load.click();
  const dialog = page.getByRole('dialog', { name: 'Load this configuration?' });
  await dialog.getByText(/1 records come, 0 change and [1-9]\d* go/).waitFor();
  await dialog.getByRole('listitem').filter({ hasText: /^delete.*services.*s$/ }).first().waitFor();
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  await dialog.waitFor({ state: 'detached' });
  check((await named('services')).join() === 's', 'nothing is loaded before one has said so');
  await load.click();
  await dialog.getByRole('button', { name: 'Load it' }).click();
  await says(page, 'The configuration is loaded.');
  check((await named('services')).join() === 't', 'the file is the configuration');
}

async function named(path) {
  const { data } = await (await fetch(`${ADMIN}/${path}`)).json();
  return data.map(({ name }) => name);
}
