/** Every page, light and dark, wide and narrow (by day each in one of these looks): nothing on the console, and no fault that axe calls serious. */

import { createRequire } from 'node:module';
import { ADMIN, MANAGER, check, sample, withPage } from './browser.mjs';

const axe = createRequire(`${process.env.BROWSER}/package.json`).resolve('axe-core/axe.min.js');

const first = async (path) => (await (await fetch(ADMIN + path)).json()).data[0]?.id;
const of = async (entity, path = entity) => `${entity}/${await first(`/${path}`)}`;
const pages = [
  'overview',
  'live',
  'map',
  'trace',
  'changes',
  'files',
  'access',
  'node',
  'workspaces',
  'services',
  'routes',
  'consumers',
  'consumer_groups',
  'plugins',
  'upstreams',
  'certificates',
  'ca_certificates',
  'snis',
  'keys',
  'key_sets',
  'vaults',
  'services/create',
  'routes/create',
  'upstreams/create',
  'certificates/create',
  'plugins/select',
  'plugins/create?name=openid-connect',
  'vaults/create',
  'vaults/create?name=env',
  await of('services'),
  await of('routes'),
  await of('consumers'),
  `${await of('consumers')}/credentials/keyauth_credentials/${await first('/key-auths')}`,
  await of('consumer_groups'),
  await of('vaults'),
  await of('plugins'),
  await of('upstreams'),
  `${await of('routes')}/edit`,
  `${await of('plugins')}/edit`,
  await of('rbac_roles', 'rbac/roles'),
  `${await of('rbac_roles', 'rbac/roles')}?view=records`,
  'access?view=groups',
  await of('groups'),
  'services/none',
];

const looks = [{}, { colorScheme: 'dark' }, { viewport: { width: 400, height: 800 }, locale: 'ja-JP' }];
for (const [number, options] of looks.entries()) {
  await withPage(async (page) => {
    for (const path of sample(pages, looks.length, number)) {
      await page.goto(`${MANAGER}/default/${path}`);
      await page.locator('main h1').waitFor();
      await page.waitForLoadState('load');
      // Scripts of the page itself may come from nowhere else; this one is the test's.
      await page.evaluate(await script());
      const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
      const serious = violations.filter(({ impact }) => ['serious', 'critical'].includes(impact));
      const words = serious.map(
        ({ id, nodes }) =>
          `${id}: ${nodes
            .slice(0, 3)
            .map((node) => node.html)
            .join(' | ')}`,
      );
      check(serious.length === 0, `${path} ${JSON.stringify(options)}: ${words.join('\n')}`);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth + 1);
      check(!wide, `${path} ${JSON.stringify(options)} is wider than the window`);
    }
  }, options);
}

async function script() {
  const { readFile } = await import('node:fs/promises');
  return readFile(axe, 'utf8');
}
