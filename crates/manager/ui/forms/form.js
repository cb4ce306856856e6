/**
 * The form of a record, made from its schema. Only what was changed is sent; the same record can be edited as YAML and
 * as JSON, and the request is there as a line for a terminal before it is sent.
 */

import { Away, Refusal, send } from '../core/api.js';
import { debounced, h, replace } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { isReadOnly } from '../core/node.js';
import { guardWith, unguard } from '../core/router.js';
import { changes, defaultsOf } from '../core/schemas.js';
import { t } from '../core/texts.js';
import { curl, deck } from '../entities/commands.js';
import { code } from '../parts/code.js';
import { failed } from '../shell/toast.js';
import { fieldRow } from './field.js';
import { grouped } from './groups.js';
import { recordText } from './text.js';
import { urlShortcut } from './url.js';

/** Fields that nobody but the node sets. */
const OWN = ['id', 'created_at', 'updated_at'];
/** The Admin API's code for a value that another record has. */
const UNIQUE_VIOLATION = 5;

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
  const entered = () => Object.fromEntries(own.map((field) => [field.name, rows.get(field.name).value()]));
  const hidden = fields.filter((field) => without.includes(field.name) && typeof record?.[field.name] === 'string');
  const constant = { ...fixed, ...Object.fromEntries(hidden.map(({ name }) => [name, record[name]])) };
  const text = recordText({ fields: own, constant, change: context.change });

  const problems = h('div', { class: 'problems', role: 'alert', tabindex: '-1' });
  const commands = h('div', { class: 'commands' });
  const button = h('button', { class: 'primary' }, action ?? (record ? t('save') : t('create')));
  const sections = grouped(entity, own, rows, before, { ...before, ...given });
  const shortcut = entity === 'services' && urlShortcut(rows);
  const views = viewSwitch({ entered, set, text, form: h('div', { class: 'sections' }, shortcut, sections.elements) });
  const content = () => {
    const value = views.value();
    return value && { ...fixed, ...changes(own, before, value) };
  };
  const changed = debounced(60, () => {
    const sent = content();
    if (!sent) return;
    const applied = deck(entity, { ...(record ? withoutTimes(record) : {}), ...sent }, parent);
    replace(commands, code(curl(method, path, sent, options), 'curl'), applied && code(applied, 'decK'));
    button.disabled = record !== null && record !== undefined && Object.keys(sent).length === 0;
  });

  const show = (error) => {
    const fieldErrors = worded(error, rows);
    const loose = [fieldErrors['@entity']].flat().filter((one) => typeof one === 'string');
    const unplaced = Object.keys(fieldErrors).filter((name) => name !== '@entity' && !rows.has(name));
    if (views.isText()) text.refuse(fieldErrors);
    else for (const [name, row] of rows) sections.note(name, row.errors(fieldErrors[name]));
    loose.push(...unplaced.map((name) => `${name}: ${flat(fieldErrors[name])}`));
    if (Object.keys(fieldErrors).length === 0) loose.push(error.status === 404 ? t('form.gone') : error.message);
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
    if (focusWrong()) return;
    problems.scrollIntoView({ block: 'nearest' });
    problems.focus({ preventScroll: true });
  };
  const focusWrong = () => {
    const wrong = element.querySelector('.field.wrong input, .field.wrong textarea, .field.wrong select');
    wrong?.focus();
    return wrong !== null;
  };
  /** Whether something was entered that cannot be sent. */
  const isFaulty = async () => {
    if (views.isText()) return false;
    const found = await Promise.all([...rows].map(async ([name, row]) => [name, await row.faults()]));
    found.forEach(([name, faults]) => sections.note(name, faults));
    const isWrong = found.some(([, faults]) => faults.length > 0);
    if (isWrong) focusWrong();
    return isWrong;
  };

  const submit = async (event) => {
    event.preventDefault();
    if (isReadOnly()) return;
    replace(problems);
    button.disabled = true;
    try {
      if (await isFaulty()) return;
      const sent = content();
      if (!sent) return;
      const answer = await send(method, path, sent, options);
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
    h('footer', {}, !isReadOnly() && button, cancel && h('a', { class: 'button', href: cancel }, t('cancel'))),
    h('details', { class: 'group' }, h('summary', {}, t('form.commands')), commands),
  );
  changed();
  const start = JSON.stringify(entered());
  // A text that cannot be read holds something, too.
  guardWith(() => element.isConnected && JSON.stringify(views.settle()) !== start, t('form.lost'));
  return element;
}

/** Form, YAML and JSON: what is written in one is there in the next. */
function viewSwitch({ entered, set, text, form: fields }) {
  const panel = h('div', {});
  let view = 'form';
  const isText = () => view !== 'form';
  const value = () => (isText() ? text.value() : entered());
  const settle = () => {
    const now = value();
    if (now && isText()) set(now);
    return now && entered();
  };
  const choose = (next) => {
    const now = settle();
    if (!now) return;
    view = next;
    buttons.forEach((one) => one.setAttribute('aria-pressed', String(one.dataset.view === next)));
    if (isText()) text.set(now, next);
    replace(panel, isText() ? text.element : fields);
  };
  const buttons = [
    ['form', t('form.form')],
    ['yaml', 'YAML'],
    ['json', 'JSON'],
  ].map(([name, label]) => h('button', { type: 'button', 'data-view': name, onclick: () => choose(name) }, label));
  choose('form');
  return {
    element: h('div', {}, h('div', { class: 'segments', role: 'group', 'aria-label': t('form.view') }, buttons), panel),
    value,
    settle,
    isText,
  };
}

/** What an answer says of fields: of a name that is taken it says the name alone. */
function worded({ status, body, fields }, rows) {
  if (status === 404) return {};
  const isTaken = body?.code === UNIQUE_VIOLATION;
  const field = isTaken && Object.keys(fields ?? {}).find((name) => rows.has(name));
  return field ? { [field]: t('form.taken') } : isTaken ? {} : { ...fields };
}

function withoutTimes({ created_at, updated_at, ...rest }) {
  return rest;
}

function flat(error) {
  return typeof error === 'string' ? error : JSON.stringify(error);
}
