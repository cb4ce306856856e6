/** Weights of targets: none is changed by a slip, and who is put back weighs what it did. */

import { ADMIN, MANAGER, check, field, press, says, withPage } from './browser.mjs';

const targets = `${ADMIN}/upstreams/u/targets`;
const { id } = await (await fetch(`${ADMIN}/upstreams/u`)).json();

await withPage(async (page) => {
  let sent = 0;
  page.on('request', (request) => {
    if (request.method() === 'PATCH') sent += 1;
  });
  await page.goto(`${MANAGER}/default/upstreams/${id}`);
  const weight = field(page, 'Weight of 127.0.0.1:9');
  const shows = (value) => page.waitForFunction((text) => document.querySelector('input.weight')?.value === text, value);
  for (const slip of ['', '70000', '-5']) {
    await weight.fill(slip);
    await weight.press('Tab');
    await shows('300');
  }
  check(sent === 0, `no slip is sent: ${sent}`);
  await weight.fill('500');
  await weight.press('Tab');
  await says(page, 'now has weight 500.');
  // What the node refuses leaves the weight that it has.
  await page.route(`${targets.replace('/u/', `/${id}/`)}/*`, (route) =>
    route.fulfill({ status: 400, json: { message: 'refused' }, headers: { 'access-control-allow-origin': '*' } }),
  );
  await weight.fill('600');
  await weight.press('Tab');
  await says(page, 'refused');
  await shows('500');
  await page.unrouteAll();

  await page.reload();
  await press(page, 'Take out');
  await page.getByRole('button', { name: 'Put back' }).waitFor();
  await page.reload();
  await press(page, 'Put back');
  await says(page, 'gets requests again.');
  check((await present()) === 500, `it weighs what it did: ${await present()}`);

  await press(page, 'Take out');
  await page.getByRole('button', { name: 'Put back' }).waitFor();
  await page.evaluate(() => localStorage.clear());
  await page.reload();
  await press(page, 'Put back');
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('spinbutton').fill('250');
  await dialog.getByRole('button', { name: 'Put back' }).click();
  await says(page, 'gets requests again.');
  check((await present()) === 250, `it weighs what was asked for: ${await present()}`);
});

async function present() {
  return (await (await fetch(targets)).json()).data[0].weight;
}
