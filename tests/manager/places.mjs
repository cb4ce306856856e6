/** Whoever comes back finds a list as it was left, and what has the focus is in sight. */

import { MANAGER, check, field, press, withPage } from './browser.mjs';

await withPage(async (page) => {
  const first = () => page.locator('td a.first').first();
  const shows = (number) => page.getByText(`Page ${number}`, { exact: true }).waitFor();
  await page.goto(`${MANAGER}/default/services`);
  await shows(1);
  await page.getByRole('button', { name: 'Next' }).click();
  await shows(2);
  const name = await first().textContent();
  await first().click();
  await page.getByRole('heading', { name, exact: true }).waitFor();
  await page.goBack();
  await shows(2);
  check((await first().textContent()) === name, 'the way back leads to the same page');
  await page.reload();
  await shows(2);
  check((await first().textContent()) === name, 'a reload, too');
  await page.getByRole('button', { name: 'Previous' }).click();
  await shows(1);

  const search = page.getByRole('searchbox').first();
  await search.fill('s-17');
  await page.locator('td a.first').nth(1).waitFor({ state: 'detached' });
  await page.waitForURL('**/services?search=s-17');
  await first().click();
  await page.getByRole('heading', { name: 's-17', exact: true }).waitFor();
  await page.goBack();
  await first().waitFor();
  check((await search.inputValue()) === 's-17', 'the filter is there again');
  check((await page.locator('td a.first').count()) === 1, 'the list is filtered again');

  // A workspace may be called as a page is.
  await page.goto(`${MANAGER}/overview/services`);
  await page.getByRole('link', { name: 'alone', exact: true }).waitFor();

  // A filter that the node refuses can be put otherwise.
  await page.goto(`${MANAGER}/default/services?tags=a,b/c`);
  await page.locator('.listed .empty').waitFor();
  await page.getByRole('searchbox').nth(1).fill('');
  await shows(1);

  // What would be refused is not offered, and a link leads to what stands against it.
  for (const [path, words] of [
    ['services/s-17', 'as long as it has: Routes.'],
    ['workspaces/full', 'as long as it has: Services (1).'],
  ]) {
    await page.goto(`${MANAGER}/default/${path}`);
    await press(page, 'Delete');
    const dialog = page.getByRole('dialog');
    await dialog.getByText(words).waitFor();
    check((await dialog.getByRole('button', { name: 'Delete', exact: true }).count()) === 0, `${path} is not deleted`);
    await dialog.getByRole('link', { name: 'Show them' }).click();
  }
  await page.waitForURL('**/full/services');
  await page.getByRole('link', { name: 'only', exact: true }).waitFor();

  await page.setViewportSize({ width: 1280, height: 700 });
  await page.goto(`${MANAGER}/default/routes/create`);
  for (const label of ['Paths', 'Methods', 'Hosts', 'SNIs']) {
    await field(page, label).focus();
    const [box, bar] = [await field(page, label).boundingBox(), await page.locator('form.entity > footer').boundingBox()];
    check(box.y + box.height <= bar.y, `${label} at ${box.y + box.height} is behind the bar at ${bar.y}`);
  }
});
