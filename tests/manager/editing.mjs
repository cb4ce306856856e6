/** Records written as YAML and as JSON: what is read, and what is said of what cannot be. */

import { check, field, press, says, withPage } from './browser.mjs';

const { MANAGER } = process.env;

await withPage(async (page) => {
  await reading(page);
  await page.goto(`${MANAGER}/default/services/create`);
  const text = async (view, content) => {
    await press(page, view);
    const area = page.getByRole('textbox', { name: view, exact: true });
    if (content !== undefined) await area.fill(content);
    return area;
  };
  // What was filled in is there as text, and the other way round.
  await field(page, 'Name').fill('written');
  const area = await text('YAML');
  check((await area.inputValue()).includes('name: written\nretries: 5\n'), 'the form is there as YAML');
  await area.fill('name: written\nhost: a.test\n  port: 80\n');
  await problem(page, 'Line 3', 'this stands too far right or left');
  await area.fill('name: written\nhost: a.test\nretries: five\nhots: b\ntags: [a, 1]\n');
  await problem(page, 'Line 3', 'retriesexpected a whole number');
  await problem(page, 'Line 4', 'hotsthere is no such field');
  await problem(page, 'Line 5', 'tags.1expected a text');
  await press(page, 'JSON');
  await page.getByRole('textbox', { name: 'YAML' }).waitFor();
  // What the Admin API refuses is told in the same way.
  await area.fill('name: written\nhost: a.test\npath: b\n');
  await press(page, 'Create');
  await problem(page, 'Line 3', 'pathshould start with: /');
  await area.fill('name: written\nhost: a.test\npath: /b # as JSON in a moment\ntags:\n- x\n');
  const json = await text('JSON');
  const record = JSON.parse(await json.inputValue());
  check(record.path === '/b' && record.retries === 5, 'YAML is there as JSON, with what follows');
  await json.fill(JSON.stringify({ ...record, path: '/c' }));
  await press(page, 'Form');
  check((await field(page, 'Path').inputValue()) === '/c', 'JSON is there as a form');
  await press(page, 'Create');
  await page.getByRole('heading', { name: 'written', exact: true }).waitFor();
  // Of a change, what was written is sent and nothing else.
  await press(page, 'Edit');
  await page.getByRole('button', { name: 'Save', exact: true }).waitFor();
  await text('YAML', 'name: written\nhost: b.test\n');
  await page.getByText('The same as commands').click();
  await says(page, '"host": "b.test"');
  await press(page, 'Save');
  await says(page, 'written is saved.');
  const saved = await (await fetch(`${process.env.ADMIN}/services/written`)).json();
  check(saved.host === 'b.test' && saved.path === null && saved.tags === null, JSON.stringify(saved));
});

/** A line of what is wrong. */
async function problem(page, line, words) {
  const item = page.locator('.misread li', { has: page.getByRole('button', { name: line, exact: true }) });
  await item.filter({ hasText: words }).waitFor();
}

/** Each value is read from the text that is written of it. */
async function reading(page) {
  await page.goto(`${MANAGER}/default/services`);
  await page.locator('main h1').waitFor();
  const wrong = await page.evaluate(async () => {
    const { parse } = await import('./assets/parse.js'.replace('assets', folder()));
    const { yaml } = await import('./assets/yaml.js'.replace('assets', folder()));
    const texts = ['', ' x ', 'true', 'no', '~', '1', '0x1', '.5', '- a', 'a: b', '#c', 'a #b', 'a\nb', 'a\n\n b\n'];
    const odd = ['"', "it's", '{a', '[b', '*c', '&d', '? e', '!f', '%g', '@h', '`i', ':', 'j:', '|', '>', '---', 'あ'];
    const words = [...texts, ...odd, 'http://k:1/', '~/l$', 'm\tn', '{vault://env/o}', '__proto__'];
    const values = [null, true, 0, -1.5, 1e21, [], {}, ...words];
    const nested = values.map((value) => ({ a: value, b: [value, [value]], c: { [String(value)]: value } }));
    return [...values, ...nested, values, [nested]]
      .flatMap((value) => [yaml(value), JSON.stringify(value), JSON.stringify(value, null, 2)].map((text) => [value, text]))
      .filter(([value, text]) => {
        try {
          return JSON.stringify(parse(text).value) !== JSON.stringify(value);
        } catch {
          return true;
        }
      })
      .map(([, text]) => text);
    function folder() {
      return `${document.querySelector('link[rel=stylesheet]').getAttribute('href').replace('style.css', '')}entities`;
    }
  });
  check(wrong.length === 0, `read as something else:\n${wrong.join('\n')}`);
}
