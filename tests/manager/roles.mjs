/** Roles with rules about endpoints and records, and groups of users that have roles. */

import { ADMIN, MANAGER, check, field, press, says, withPage } from './browser.mjs';

await withPage(async (page) => {
  await page.goto(`${MANAGER}/default/access?view=rbac_roles`);
  await press(page, 'New role');
  await field(page, 'Name').fill('readers');
  await press(page, 'Create');
  await page.getByRole('heading', { name: 'readers', exact: true }).waitFor();
  await field(page, 'Endpoint').fill('/routes');
  await press(page, 'Add');
  await says(page, '/routes is created.');
  await page.getByRole('tab', { name: 'Records' }).click();
  await says(page, 'This role has no rule about records.');
  await field(page, 'Kind').selectOption('services');
  await field(page, 'Record').fill('secret');
  await page.getByRole('option', { name: 'secret' }).click();
  await page.getByLabel('forbids').check();
  await press(page, 'Add');
  await page.getByRole('row', { name: 'secret Service read forbids' }).waitFor();
  await press(page, 'Add');
  await page.getByRole('row', { name: 'all records (*)' }).waitFor();
  await page.getByRole('button', { name: 'Delete *', exact: true }).click();
  await page.getByRole('row', { name: 'all records (*)' }).waitFor({ state: 'detached' });

  await page.goto(`${MANAGER}/default/access?view=groups`);
  await press(page, 'New group');
  await field(page, 'Name').fill('engineering');
  await press(page, 'Create');
  await page.getByRole('heading', { name: 'engineering', exact: true }).waitFor();
  await field(page, 'Role').selectOption({ label: 'readers' });
  await press(page, 'Add');
  await page.getByRole('row', { name: 'readers default' }).waitFor();

  await page.goto(`${MANAGER}/default/access?view=rbac_users`);
  await press(page, 'New user');
  await field(page, 'Name').fill('ada');
  await field(page, 'User token').fill('token-of-ada');
  await press(page, 'Create');
  await page.getByRole('heading', { name: 'ada', exact: true }).waitFor();
  await page.getByRole('tab', { name: 'Groups' }).click();
  await page.getByRole('switch', { name: 'engineering' }).click();
  await says(page, 'engineering is given.');
  const { groups } = await (await fetch(`${ADMIN}/rbac/users/ada/groups`)).json();
  check(groups.map(({ name }) => name).join() === 'engineering', JSON.stringify(groups));
});
