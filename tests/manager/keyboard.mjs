/** The pages without a mouse, and while the Admin API does not answer or refuses. */

import { ADMIN, MANAGER, check, field, press, says, withPage } from './browser.mjs';

await withPage(async (page) => {
  await page.goto(`${MANAGER}/default/overview`);
  await heading(page, 'Overview');
  await keys(page);
  await form(page);
  await elsewhere(page);
  await away(page);
  await refused(page);
});

async function heading(page, name) {
  await page.getByRole('heading', { name, exact: true }).waitFor();
}

/** What has the focus, by its text or its label. */
function focused(page) {
  return page.evaluate(() => {
    const element = document.activeElement;
    return element.getAttribute('aria-label') ?? element.labels?.[0]?.textContent ?? element.textContent;
  });
}

async function keys(page) {
  // A page begins with its content; before it is the way past the navigation.
  check((await page.evaluate(() => document.activeElement.id)) === 'main', 'the content has the focus');
  await page.keyboard.press('Tab');
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  check(outline !== 'none', 'the focus is to be seen');
  const skip = page.getByRole('link', { name: 'Skip to the content' });
  await skip.focus();
  check((await skip.boundingBox()).x >= 0, 'it is to be seen, too');
  await page.keyboard.press('Enter');
  check((await page.evaluate(() => document.activeElement.id)) === 'main', 'the content has the focus');
  await page.keyboard.press('g');
  await page.keyboard.press('r');
  await heading(page, 'Routes');
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await page.keyboard.press('/');
  await page.getByRole('combobox', { name: 'Search', exact: true }).fill('Upstreams');
  await page.getByRole('option', { name: 'Upstreams' }).first().waitFor();
  await page.keyboard.press('Enter');
  await heading(page, 'Upstreams');
  await page.keyboard.press('/');
  await page.getByRole('combobox', { name: 'Search', exact: true }).fill('x');
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
}

/** A record made, looked at by arrow keys, and deleted. */
async function form(page) {
  await page.goto(`${MANAGER}/default/consumers/create`);
  await field(page, 'Username').focus();
  await page.keyboard.type('keys');
  await page.keyboard.press('Tab');
  check((await focused(page)).startsWith('Custom ID'), `the next field, not ${await focused(page)}`);
  await page.keyboard.press('Control+Enter');
  await heading(page, 'keys');
  await page.getByRole('tab', { selected: true }).focus();
  const before = await focused(page);
  await page.keyboard.press('ArrowRight');
  check((await focused(page)) !== before, 'an arrow leads to the next tab');
  await page.getByRole('button', { name: 'Delete', exact: true }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  check((await focused(page)) === 'Delete', `the focus is back where it was, not at ${await focused(page)}`);
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await page.keyboard.press('Enter');
  await says(page, 'keys is deleted.');
}

/** What was filled in is there when the Admin API is. */
async function away(page) {
  await page.goto(`${MANAGER}/default/services/create`);
  await field(page, 'Name').fill('kept');
  await page.route(`${ADMIN}/**`, (route) => route.abort());
  await field(page, 'Host').fill('a.test');
  await page.getByRole('button', { name: 'Create', exact: true }).click();
  await says(page, 'What was sent may be done all the same');
  await page.getByRole('alert').filter({ hasText: 'what is on this page is kept' }).waitFor();
  check((await field(page, 'Name').inputValue()) === 'kept', 'nothing is lost');
  await page.unroute(`${ADMIN}/**`);
  await says(page, 'The Admin API answers again.');
  check((await field(page, 'Host').inputValue()) === 'a.test', 'nothing is lost');
  await page.getByRole('button', { name: 'Create', exact: true }).click();
  await heading(page, 'kept');
  // A page that comes in such a moment is shown as soon as it can be.
  await page.route(`${ADMIN}/**`, (route) => route.abort());
  await page.getByRole('link', { name: 'Services', exact: true }).first().click();
  await heading(page, 'Waiting for the Admin API');
  await page.unroute(`${ADMIN}/**`);
  await page.getByRole('link', { name: 'kept', exact: true }).waitFor();
}

/** Whoever comes back to a list sees what was written elsewhere, and the browser's own ways lead where they should. */
async function elsewhere(page) {
  await page.goto(`${MANAGER}/default/consumers`);
  await fetch(`${ADMIN}/consumers`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ username: 'elsewhere' }),
  });
  await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  await page.getByRole('link', { name: 'elsewhere', exact: true }).click();
  await heading(page, 'elsewhere');
  await page.getByRole('tab', { name: 'Code' }).click();
  await says(page, 'curl');
  await page.reload();
  await page.getByRole('tab', { name: 'Code', selected: true }).waitFor();
  await page.goBack();
  await heading(page, 'Consumers');
  await page.goForward();
  await heading(page, 'elsewhere');
  // It says what goes with it.
  const { id } = await (await fetch(`${ADMIN}/consumers/elsewhere`)).json();
  await fetch(`${ADMIN}/consumers/${id}/plugins`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ name: 'correlation-id' }),
  });
  await page.getByRole('button', { name: 'Delete', exact: true }).click();
  await page.getByRole('dialog').getByText('With it go: Plugins (1).').waitFor();
  await page.keyboard.press('Escape');
}

async function refused(page) {
  const message = 'somebody, you do not have permissions to read this resource';
  await page.route(`${ADMIN}/routes?*`, (route) =>
    route.fulfill({ status: 403, json: { message }, headers: { 'access-control-allow-origin': '*' } }),
  );
  await page.goto(`${MANAGER}/default/routes`);
  await says(page, message);
  await page.unroute(`${ADMIN}/routes?*`);
  // What a form is refused is seen where it was sent.
  const headers = { 'access-control-allow-origin': '*' };
  const only = (method) => (route) =>
    route.request().method() === method ? route.fulfill({ status: 403, json: { message }, headers }) : route.fallback();
  await page.route(`${ADMIN}/services`, only('POST'));
  await page.goto(`${MANAGER}/default/services/create`);
  await field(page, 'Host').fill('a.test');
  await press(page, 'Create');
  await page.getByRole('alert').filter({ hasText: message }).waitFor();
  const { top, bottom } = await page.locator('.problems').evaluate((element) => element.getBoundingClientRect());
  const foot = await page.locator('form.entity > footer').evaluate((element) => element.getBoundingClientRect().top);
  check(top > 0 && bottom <= foot, `the refusal is in sight: ${top} to ${bottom} above ${foot}`);
  await field(page, 'Host').fill('');
  await page.route(`${ADMIN}/bascule/live?*`, only('GET'));
  await page.goto(`${MANAGER}/default/live`);
  await says(page, message);
  await page.unrouteAll();
}
