/**
 * The form of a record, made from its schema. Only what was changed is sent; the same record can be seen and edited as
 * JSON, read as YAML, and the request is there as a line for a terminal, before and after it is sent.
 */

import { Away, Refusal, send } from '../core/api.js';
import { debounced, h, replace } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { guardWith, unguard } from '../core/router.js';
import { changes, defaultsOf } from '../core/schemas.js';
import { t } from '../core/texts.js';
import { curl, deck, withoutNulls } from '../entities/commands.js';
import { yaml } from '../entities/yaml.js';
import { code } from '../parts/code.js';
import { failed } from '../shell/toast.js';
import { fieldRow } from './field.js';
import { grouped } from './groups.js';
import { urlShortcut } from './url.js';

/** Fields that nobody but the node sets. */
const OWN = ['id', 'created_at', 'updated_at'];

/**
 * A form. `record` is what there is (null: a new one), `given` is what a new one has from the start, `fixed` what is
 * always sent, `without` names fields that are not shown. `saved` is called with the answer.
 */
export function form({
  entity,
  fields,
  record,
  given = {},
  fixed = {},
  without = [],
  path,
  method,
  parent,
  options,
  saved,
  cancel,
  action,
}) {
  const own = fields.filter(
    (field) => !OWN.includes(field.name) && !without.includes(field.name) && !(field.name in fixed),
  );
  const before = record ?? defaultsOf(own);
  const context = { entity, change: () => changed() };
  const rows = new Map(
    own.map((field) => [
      field.name,
      fieldRow(field, {
        ...context,
        top: field.name === 'config' && field.type === 'record',
      }),
    ]),
  );
  const set = (value) => own.forEach((field) => rows.get(field.name).set(value[field.name] ?? null));
  set({ ...before, ...given });
  const value = () => Object.fromEntries(own.map((field) => [field.name, rows.get(field.name).value()]));
  const content = () => ({ ...fixed, ...changes(own, before, value()) });

  const problems = h('div', { class: 'problems', role: 'alert' });
  const commands = h('div', { class: 'commands' });
  const button = h('button', { class: 'primary' }, action ?? (record ? t('save') : t('create')));
  const sections = grouped(entity, own, rows, before, { ...before, ...given });
  const shortcut = entity === 'services' && urlShortcut(rows);
  const views = viewSwitch({
    record: () => ({ ...fixed, ...value() }),
    set,
    form: h('div', { class: 'sections' }, shortcut, sections.elements),
  });
  const changed = debounced(60, () => {
    const sent = content();
    replace(
      commands,
      code(curl(method, path, sent), 'curl'),
      deck(entity, { ...(record ? withoutTimes(record) : {}), ...sent }, parent) &&
        code(deck(entity, { ...(record ? withoutTimes(record) : {}), ...sent }, parent), 'decK'),
    );
    button.disabled = record !== null && record !== undefined && Object.keys(sent).length === 0;
  });

  const show = (error) => {
    const fieldErrors = { ...(error.fields ?? {}) };
    const loose = [fieldErrors['@entity']].flat().filter((one) => typeof one === 'string');
    const unplaced = Object.keys(fieldErrors).filter((name) => name !== '@entity' && !rows.has(name));
    for (const [name, row] of rows) sections.note(name, row.errors(fieldErrors[name]));
    loose.push(...unplaced.map((name) => `${name}: ${flat(fieldErrors[name])}`));
    if (Object.keys(fieldErrors).length === 0) loose.push(error.message);
    const rest = loose.length === 0 ? [t('form.wrong')] : loose;
    replace(
      problems,
      icon('warning'),
      h(
        'ul',
        {},
        rest.map((text) => h('li', {}, text)),
      ),
    );
    element.querySelector('.field.wrong input, .field.wrong textarea, .field.wrong select')?.focus();
  };

  const submit = async (event) => {
    event.preventDefault();
    replace(problems);
    if (!views.settle()) return;
    button.disabled = true;
    try {
      const answer = await send(method, path, content(), options);
      unguard();
      saved(answer);
    } catch (error) {
      if (error instanceof Refusal) show(error);
      else if (error instanceof Away) failed(error);
      else throw error;
    } finally {
      button.disabled = false;
    }
  };

  const element = h(
    'form',
    {
      class: 'entity',
      novalidate: true,
      onsubmit: submit,
      onkeydown: (event) => {
        if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) element.requestSubmit();
      },
    },
    views.element,
    problems,
    h('footer', {}, button, cancel && h('a', { class: 'button', href: cancel }, t('cancel'))),
    h('details', { class: 'group' }, h('summary', {}, t('form.commands')), commands),
  );
  changed();
  const start = JSON.stringify(value());
  guardWith(() => JSON.stringify(value()) !== start && element.isConnected, t('form.lost'));
  return element;
}

/** Form, JSON and YAML: what is written in one is there in the next. */
function viewSwitch({ record, set, form: fields }) {
  const area = h('textarea', { class: 'code tall', spellcheck: 'false', 'aria-label': 'JSON' });
  const error = h('p', { class: 'error', role: 'alert' });
  const panel = h('div', {});
  let view = 'form';
  const settle = () => {
    if (view !== 'json') return true;
    try {
      set({ ...JSON.parse(area.value) });
      replace(error);
      return true;
    } catch (problem) {
      replace(error, problem.message);
      return false;
    }
  };
  const choose = (next) => {
    if (!settle()) return;
    view = next;
    buttons.forEach((one) => one.setAttribute('aria-pressed', String(one.dataset.view === next)));
    if (next === 'json') {
      area.value = JSON.stringify(record(), null, 2);
      replace(panel, area, error);
    } else if (next === 'yaml') replace(panel, code(yaml(withoutNulls(record()))));
    else replace(panel, fields);
  };
  const buttons = [
    ['form', t('form.form')],
    ['json', 'JSON'],
    ['yaml', 'YAML'],
  ].map(([name, label]) => h('button', { type: 'button', 'data-view': name, onclick: () => choose(name) }, label));
  choose('form');
  return {
    element: h('div', {}, h('div', { class: 'segments', role: 'group', 'aria-label': t('form.view') }, buttons), panel),
    settle,
  };
}

function withoutTimes({ created_at, updated_at, ...rest }) {
  return rest;
}

function flat(error) {
  return typeof error === 'string' ? error : JSON.stringify(error);
}
