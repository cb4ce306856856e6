/** Forms send what was changed, and nothing else: examples of plugins (by day of some) and entities, changed and saved. */

import { ADMIN, MANAGER, check, field, press, sample, says, withPage } from './browser.mjs';

const api = async (method, path, record) => {
  const headers = { 'Content-Type': 'application/json' };
  const answer = await fetch(`${ADMIN}/${path}`, { method, headers, body: record && JSON.stringify(record) });
  const text = await answer.text();
  return { status: answer.status, body: text === '' ? null : JSON.parse(text) };
};
const made = async (path, record) => {
  const { status, body } = await api('POST', path, record);
  check(status === 201, `${path}: ${JSON.stringify(body)}`);
  return body;
};

const { components } = (await api('GET', 'openapi.json')).body;
const examples = (name) => components.schemas[name]?.examples ?? [];
const all = Object.keys(components.schemas).filter((name) => /^plugins\.(?!change$|new$)/.test(name));
const plugins = sample(all, 4);
const entities = 'services routes consumers consumer_groups upstreams ca_certificates key_sets vaults'.split(' ');
/** What is more than an example says. */
const MORE = {
  'plugins.http-log': { custom_fields_by_lua: { a: 'local x = 1\nreturn x' } },
  'plugins.ip-restriction': { message: 'one\ntwo' },
};

await withPage(async (page) => {
  let opened = 0;
  for (const name of plugins) {
    const [example] = examples(name);
    if (!example) continue;
    const config = { ...example.config, ...MORE[name] };
    const { status, body } = await api('POST', 'plugins', { ...example, config });
    check(status === 201, `${name}: ${JSON.stringify(body)}`);
    await untouched(page, `plugins/${body.id}/edit`, name);
    await page.locator('[data-field="enabled"] input').click();
    check((await sent(page, 'PATCH', 'Save')) === '{"enabled":false}', `${name}: more than the switch is sent`);
    await api('DELETE', `plugins/${body.id}`);
    await page.goto(`${MANAGER}/default/plugins/create?name=${example.name}`);
    const created = await sent(page, 'POST', 'Create');
    check(created === JSON.stringify({ name: example.name }), `${name} is created by ${created}`);
    opened += 1;
  }
  check(all.length > 50 && opened > plugins.length / 2, `${opened} of ${all.length} plugins have been opened`);
  for (const name of entities) {
    const [example = { name: 'env', prefix: 'my-env' }] = examples(`${name}.new`);
    const record = await made(name.replace('key_sets', 'key-sets'), example);
    await untouched(page, `${name}/${record.id}/edit`, name);
  }
  await lines(page);
  await references(page);
  await refusals(page);
});

/** The form of a record that nobody has touched has nothing to save. */
async function untouched(page, path, name) {
  await page.goto(`${MANAGER}/default/${path}`);
  const save = page.locator('form.entity > footer button.primary');
  await save.waitFor();
  const isDisabled = () => document.querySelector('form.entity > footer button.primary').disabled;
  await page.waitForFunction(isDisabled, undefined, { timeout: 10_000 }).catch(async () => {
    const shown = await page.locator('.commands').textContent();
    check(false, `${name} is changed as soon as it is opened: ${shown}`);
  });
}

/** What a form would send, which nobody gets. */
async function sent(page, method, action) {
  let body;
  const headers = { 'access-control-allow-origin': '*' };
  // Words that no description has.
  const message = 'held back by this test';
  const take = (route) => {
    if (route.request().method() !== method) return route.fallback();
    body = route.request().postData();
    return route.fulfill({ status: 400, json: { message }, headers });
  };
  await page.route(`${ADMIN}/plugins**`, take);
  await page.route(`${ADMIN}/plugins/**`, take);
  await page.locator('form.entity > footer').getByRole('button', { name: action, exact: true }).click();
  await says(page, message);
  await page.unrouteAll();
  return body;
}

/** Texts keep their lines, also where there was room for one. */
async function lines(page) {
  const config = { allow: ['10.0.0.1'], message: 'one\ntwo' };
  const plugin = await made('plugins', { name: 'ip-restriction', config });
  await page.goto(`${MANAGER}/default/plugins/${plugin.id}/edit`);
  const area = page.locator('[data-field="config.message"] textarea');
  check((await area.inputValue()) === 'one\ntwo', 'both lines are there');
  await area.fill('one\ntwo\nthree');
  await press(page, 'Save');
  await says(page, 'is saved');
  const { body } = await api('GET', `plugins/${plugin.id}`);
  check(body.config.message === 'one\ntwo\nthree', JSON.stringify(body.config.message));
  // What is emptied is emptied, and not taken away.
  await page.goto(`${MANAGER}/default/plugins/${plugin.id}/edit`);
  await page.getByRole('button', { name: 'Remove 10.0.0.1' }).click();
  await page.locator('[data-field="config.deny"] input').fill('10.0.0.2');
  await press(page, 'Save');
  await page.getByRole('heading', { name: 'IP Restriction', exact: true }).waitFor();
  await api('DELETE', `plugins/${plugin.id}`);
}

/** Who was typed is meant, or nobody is. */
async function references(page) {
  const service = await made('services', { name: 'meant', host: 'a.test' });
  await made('services', { name: 'almost-meant', host: 'meant.test' });
  await page.goto(`${MANAGER}/default/plugins/create?name=key-auth`);
  await field(page, 'Service').fill('nobody');
  await press(page, 'Create');
  await says(page, 'There is no such record');
  await field(page, 'Service').fill('mean');
  await page.locator('li[role="option"]').first().filter({ hasText: /^meant/ }).waitFor();
  await field(page, 'Service').fill('meant');
  await press(page, 'Create');
  await page.getByRole('heading', { name: 'Key Auth', exact: true }).waitFor();
  const { data } = (await api('GET', 'plugins')).body;
  check(data.length === 1 && data[0].service?.id === service.id, `it is that service's: ${JSON.stringify(data)}`);
  // A line without a name is not left out.
  await page.goto(`${MANAGER}/default/routes/create`);
  await field(page, 'Paths').fill('/r');
  await page.locator('[data-field="headers"] button.add').click();
  await page.locator('[data-field="headers"] .tokenized input').fill('orphan');
  await press(page, 'Create');
  await says(page, 'A name is missing here.');
}

/** What is refused is said in words, where it is seen. */
async function refusals(page) {
  await page.goto(`${MANAGER}/default/services/create`);
  await field(page, 'Name').fill('meant');
  await field(page, 'Host').fill('a.test');
  await press(page, 'Create');
  await says(page, 'Another record has this already.');
  check((await page.evaluate(() => document.activeElement.value)) === 'meant', 'the field has the focus');
  await page.goto(`${MANAGER}/default/plugins/create?name=rate-limiting`);
  await press(page, 'Create');
  await page.locator('.problems:focus').getByText('at least one of these fields must be non-empty').waitFor();
  const gone = await made('consumers', { username: 'gone' });
  await page.goto(`${MANAGER}/default/consumers/${gone.id}/edit`);
  await field(page, 'Username').fill('going');
  await api('DELETE', `consumers/${gone.id}`);
  await press(page, 'Save');
  await page.locator('.problems:focus').getByText('This record is not there any more.').waitFor();
}
