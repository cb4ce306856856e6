/** Somebody who may use one workspace and nothing else: first page, switcher, lists, records and forms. */

import { ADMIN, MANAGER, check, field, press, says, withPage } from './browser.mjs';

const { TOKEN } = process.env;

await withPage(async (page) => {
  await page.goto(MANAGER);
  await field(page, 'Token of a user').fill(TOKEN);
  await press(page, 'Log in');
  await page.waitForURL('**/team-b/overview');
  await page.getByRole('heading', { name: 'Overview', exact: true }).waitFor();
  const workspaces = page.getByLabel('Workspace', { exact: true });
  await workspaces.locator('option', { hasText: 'team-b' }).waitFor({ state: 'attached' });
  await workspaces.locator('option', { hasText: 'default' }).waitFor({ state: 'detached' });

  await page.getByRole('link', { name: 'Services', exact: true }).first().click();
  await press(page, 'New service');
  await field(page, 'Name').fill('own');
  await field(page, 'Host').fill('a.test');
  await press(page, 'Create');
  await page.getByRole('heading', { name: 'own', exact: true }).waitFor();
  await page.goto(`${MANAGER}/team-b/plugins/create?name=cors`);
  await press(page, 'Create');
  await page.getByRole('heading', { name: 'CORS', exact: true }).waitFor();
  const headers = { 'Kong-Admin-Token': TOKEN };
  const { data } = await (await fetch(`${ADMIN}/team-b/services`, { headers })).json();
  check(data.map(({ name }) => name).join() === 'own', JSON.stringify(data));
});
