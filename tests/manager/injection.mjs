/** Texts that would be markup or scripts if any page took them for that: in records, answers, logs and addresses. */

import { ADMIN, MANAGER, PROXY, check, press, withPage } from './browser.mjs';

const MARKUP = '"><img src=x onerror=globalThis.ran=1><script>globalThis.ran=1</script>';
/** Without what tags and the like do not take. */
const TAG = '<img src=x onerror=globalThis.ran=1>';

async function create(path, record) {
  const answer = await fetch(`${ADMIN}/${path}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(record),
  });
  const body = await answer.json();
  check(answer.ok, `${path}: ${JSON.stringify(body)}`);
  return body;
}

const tags = [TAG];
const service = await create('services', { name: 's', host: process.env.FIRST_HOST, port: Number(process.env.FIRST_PORT), tags });
const route = await create('routes', { name: 'r', paths: ['/r'], headers: { 'x-h': [MARKUP] }, service: { id: service.id }, tags });
const upstream = await create('upstreams', { name: 'u', tags });
await create('upstreams/u/targets', { target: '127.0.0.1:9', tags });
const consumer = await create('consumers', { username: MARKUP, custom_id: MARKUP, tags });
await create(`consumers/${consumer.id}/key-auth`, { key: MARKUP, tags });
const group = await create('consumer_groups', { name: 'g', tags });
await create(`consumer_groups/${group.id}/consumers`, { consumer: consumer.id });
const config = { status_code: 403, message: MARKUP };
const plugin = await create(`routes/${route.id}/plugins`, { name: 'request-termination', instance_name: 'i', config, tags });
const vault = await create('vaults', { name: 'env', prefix: 'my-v', description: MARKUP, config: {}, tags });
const set = await create('key-sets', { name: 'k', tags });
const workspace = await create('workspaces', { name: 'w', comment: MARKUP });
const role = await create('rbac/roles', { name: MARKUP, comment: MARKUP });
await create(`rbac/roles/${role.id}/entities`, { entity_id: service.id, actions: 'read', comment: MARKUP });
await create(`rbac/roles/${role.id}/endpoints`, { endpoint: '/routes', actions: 'read', comment: MARKUP });
const people = await create('groups', { name: MARKUP, comment: MARKUP });
const user = await create('rbac/users', { name: MARKUP, user_token: 't', comment: MARKUP });
await fetch(`${ADMIN}/services/${encodeURIComponent(MARKUP)}?q=${encodeURIComponent(MARKUP)}`);
await fetch(`${PROXY}/r`, { headers: { 'x-h': MARKUP } });

const records = Object.entries({
  services: service,
  routes: route,
  upstreams: upstream,
  consumers: consumer,
  consumer_groups: group,
  plugins: plugin,
  vaults: vault,
  'key-sets': set,
  workspaces: workspace,
  rbac_roles: role,
  rbac_users: user,
  groups: people,
});
const word = encodeURIComponent(MARKUP);
const pages = [
  ...records.map(([entity]) => entity),
  ...records.map(([entity, { id }]) => `${entity}/${id}`),
  ...records.map(([entity, { id }]) => `${entity}/${id}/edit`),
  ...['overview', 'live', 'map', 'changes', 'changes?view=requests', 'files', 'node', 'expressions'],
  `services/${word}`,
  `services?search=${word}&tags=${word}`,
  `${word}/${word}`,
  `plugins/create?name=${word}`,
  `routes/create?service=${word}`,
];

// Whatever a page would take for a script is to run, so that it is seen.
const options = { bypassCSP: true };
await withPage(async (page) => {
  page.on('dialog', (dialog) => dialog.dismiss());
  for (const path of pages) {
    await page.goto(`${MANAGER}/default/${path}`);
    await page.locator('main h1').waitFor();
    const views = await page.locator('main [role=tab]').all();
    for (const view of views) {
      await view.click();
      await page.locator('main [role=tabpanel] > *').first().waitFor();
      await clean(page, path);
    }
    await clean(page, path);
  }
  // What is found, what is asked before a deletion, and what is said after it.
  await page.goto(`${MANAGER}/default/consumers/${consumer.id}`);
  await page.keyboard.press('/');
  await page.getByRole('combobox', { name: 'Search' }).fill('onerror');
  await page.getByRole('option', { name: MARKUP }).first().waitFor();
  await clean(page, 'search');
  await page.keyboard.press('Escape');
  await press(page, 'Delete');
  await page.getByRole('dialog').getByText(MARKUP).first().waitFor();
  await clean(page, 'dialog');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete', exact: true }).click();
  await page.locator('.toast', { hasText: MARKUP }).waitFor();
  await clean(page, 'toast');
  // What a service answers, and what a file is refused for.
  await page.goto(`${MANAGER}/default/trace`);
  await page.getByLabel('URL').fill('http://x.test/r');
  await page.getByText('Headers and content').click();
  await page.getByLabel('Headers, one a line').fill(`x-h: ${MARKUP}`);
  await page.getByRole('button', { name: 'Trace' }).click();
  await page.locator('.course').waitFor();
  for (const step of await page.locator('.course').getByRole('button', { name: 'Details' }).all()) await step.click();
  await page.getByText(TAG).first().waitFor();
  await clean(page, 'trace');
  // What clients send.
  const recent = page.getByRole('region', { name: 'Recent requests' }).getByRole('row').filter({ hasText: '/r/seen' });
  for (let tries = 0; tries < 60 && (await recent.count()) === 0; tries += 1) {
    await fetch(`${PROXY}/r/seen?${TAG}`, { headers: { 'x-h': MARKUP, 'user-agent': MARKUP } });
    await recent.first().waitFor({ timeout: 2000 }).catch(() => {});
  }
  await recent.first().getByRole('button').click();
  await page.locator('.course').getByRole('button', { name: 'Details' }).first().click();
  await page.locator('.course').getByText(TAG).first().waitFor();
  await clean(page, 'recent requests');
  await page.goto(`${MANAGER}/default/files`);
  const file = { _format_version: '3.0', services: [{ name: MARKUP, host: 'a.test' }] };
  await page.getByLabel('The file’s text').fill(JSON.stringify(file));
  await press(page, 'Show what would change');
  await page.locator('.problems', { hasText: 'onerror' }).waitFor();
  await clean(page, 'import');
  for (const address of [`register?username=${word}&token=x`, `account/reset-password?username=${word}&token=x`]) {
    await page.goto(`${MANAGER}/${address}`);
    await page.getByText(TAG).first().waitFor();
    await clean(page, address);
  }
}, options);

/** Fails when anything on the page is what no page has, or has run. */
async function clean(page, path) {
  const found = await page.evaluate(() => ({
    ran: globalThis.ran === 1,
    elements: [...document.querySelectorAll('img, iframe, object, embed, script:not([src]), [onerror], [onload]')].map(
      (element) => element.outerHTML,
    ),
    links: [...document.querySelectorAll('a[href], area[href], form[action]')]
      .map((element) => element.href?.baseVal ?? element.href ?? element.action)
      .filter((address) => new URL(address, location.href).origin !== location.origin),
  }));
  check(!found.ran && found.elements.length === 0 && found.links.length === 0, `${path}: ${JSON.stringify(found)}`);
}
