/** A browser for tests of the manager: it keeps everything that goes wrong on a page. */

import { createRequire } from 'node:module';

const require = createRequire(`${process.env.BROWSER}/package.json`);
const { chromium } = require('playwright-core');

/** Where the pages, the Admin API and the proxy are. */
export const { MANAGER, ADMIN, PROXY } = process.env;

/** Every one of what there is of a kind, at length; else each `of`th, from `at` on. */
export function sample(all, of, at = 0) {
  const whole = Number(process.env.BASCULE_LONGER ?? 1) > 1;
  return all.filter((_, number) => whole || number % of === at);
}

/**
 * Opens a browser, lets `work` use a page, and fails when anything was written to its console as an error, or anybody was
 * asked but the node and those of `origins`. Errors that are `tolerated` are what the test is about.
 */
export async function withPage(work, { origins = [], tolerated = null, ...options } = {}) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox'],
  });
  try {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: 'en-US', ...options });
    const page = await context.newPage();
    const faults = [];
    page.on('pageerror', (error) => faults.push(`${page.url()}: ${error.message}`));
    page.on('console', (message) => {
      // Browsers note by themselves that an answer refuses what was asked, and that a test has let none through.
      const refused = /^Failed to load resource: (.* status of 4\d\d|net::ERR_FAILED)/.test(message.text());
      if (message.type() === 'error' && !refused && !tolerated?.test(message.text())) faults.push(`${page.url()}: ${message.text()}`);
    });
    page.on('request', (request) => {
      const { origin } = new URL(request.url());
      if (![MANAGER, ADMIN, ...origins].includes(origin) && !request.url().startsWith('data:'))
        faults.push(`a request to ${origin}`);
    });
    page.setDefaultTimeout(60_000);
    await work(page);
    check(faults.length === 0, faults.join('\n'));
  } finally {
    await browser.close();
  }
}

/** Fails with these words. */
export function check(holds, words) {
  if (!holds) throw new Error(words);
}

/** A field by its label. */
export function field(page, label) {
  return page.getByLabel(label, { exact: true });
}

/** Presses a button or follows a link by what it is called. */
export async function press(page, name) {
  const named = { name, exact: true };
  await page.getByRole('button', named).or(page.getByRole('link', named)).first().click();
}

/** Waits until the page says so. */
export async function says(page, text) {
  await page.getByText(text).first().waitFor();
}

/** A request to the proxy. */
export async function proxied(path, headers = {}) {
  return fetch(PROXY + path, { headers });
}
