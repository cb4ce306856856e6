/** Recent requests: seen as they end, filtered, picked, and traced. */

import { MANAGER, check, field, proxied, says, withPage } from './browser.mjs';

await withPage(async (page) => {
  await page.goto(`${MANAGER}/default/trace`);
  const recent = page.getByRole('region', { name: 'Recent requests' }).first();
  await says(page, 'Waiting for requests.');
  const row = (text) => recent.getByRole('row').filter({ hasText: text });
  // Whether the node has begun to look is known by the first request that is shown.
  await until(() => proxied('/first'), row('/first'));
  await proxied('/r/cart?page=2&access_token=hidden', { 'X-Secret': 'hidden', 'Accept-Language': 'fi' });
  await row('/r/cart').waitFor();
  check((await row('/r/cart').textContent()).includes('page=2&access_token='), 'the target is shown');
  await row('/r/cart').getByRole('button').click();
  check((await field(page, 'URL').inputValue()).endsWith('/r/cart?page=2&access_token='), 'the form has its URL');
  const lines = await field(page, 'Headers, one a line').inputValue();
  check(/^accept-language: fi$/im.test(lines), `the form has its headers: ${lines}`);
  await says(page, 'Left out, for they may be secrets:');
  await page.locator('.course').getByRole('link', { name: 'r', exact: true }).waitFor();
  check(!(await page.content()).includes('hidden</') && !lines.includes('hidden'), 'no secret is shown');
  // The button has the focus.
  await page.keyboard.press('Enter');
  await page.locator('.course').getByText('Rate Limiting').first().waitFor();

  await page.getByLabel('Status', { exact: true }).selectOption('4xx');
  await until(() => Promise.all([proxied('/r/good'), proxied('/bad')]), row('/bad'));
  check((await row('/r/good').count()) === 0, 'others are left out');
  await page.getByRole('button', { name: 'Pause' }).click();
  await page.getByRole('button', { name: 'Go on' }).waitFor();
});

/** Sends requests until one is seen. */
async function until(send, seen) {
  for (let tries = 0; tries < 60 && (await seen.count()) === 0; tries += 1) {
    await send();
    await seen.first().waitFor({ timeout: 2000 }).catch(() => {});
  }
  await seen.first().waitFor();
}
