/** Values of records as people read them. */

import { h, replace } from '../core/dom.js';
import { href } from '../core/router.js';
import { ago, date, number, t } from '../core/texts.js';
import { definition } from '../entities/definitions.js';
import { labelOf } from '../entities/labels.js';
import { nameOf } from '../entities/records.js';
import { copyButton } from './code.js';
import { fieldsOf, isGuarded } from '../core/schemas.js';

/** What stands in the place of a secret. */
export const COVER = '••••••••';
/** Fields of services that are times in milliseconds. */
const MILLISECONDS = ['connect_timeout', 'read_timeout', 'write_timeout'];

/** A value by its field in the schema. */
export function shown(field, value, signal) {
  if (value === null || value === undefined || value === '') return h('span', { class: 'unset' }, '–');
  if (field.type === 'foreign') return foreign(field.reference, value, signal);
  if (field.type === 'boolean') return yesNo(value);
  if (field.timestamp || ['created_at', 'updated_at'].includes(field.name)) return time(value);
  if (field.type === 'record') return record(fieldsOf(field), value, signal);
  if (Array.isArray(value)) return list(field, value, signal);
  if (typeof value === 'object') return map(field, value, signal);
  if (field.encrypted) return secret(value);
  if (field.name === 'id' || field.uuid) return h('code', {}, String(value));
  if (MILLISECONDS.includes(field.name)) return h('span', { class: 'value' }, `${number(value)} ms`);
  const text = String(value);
  return text.includes('\n') ? h('pre', { class: 'value' }, text) : h('span', { class: 'value' }, text);
}

/** The link to the record that a foreign key holds. */
export function foreign(entity, key, signal) {
  const link = h('a', { href: href(entity, key.id) }, key.id.slice(0, 8));
  nameOf(entity, key, signal).then((name) => replace(link, name));
  return link;
}

/** On or off, in a word and a colour. */
export function yesNo(value) {
  return h('span', { class: value ? 'badge good' : 'badge' }, value ? t('yes') : t('no'));
}

/** A point in time. */
export function time(value) {
  const seconds = value > 1e11 ? value / 1000 : value;
  return h('time', { datetime: new Date(seconds * 1000).toISOString(), title: date(seconds) }, ago(seconds));
}

/** Fields with their labels; those without a value are left out unless `all` is set. */
export function record(fields, value, signal, all = false) {
  const isSet = (one) => one !== null && one !== undefined && !(Array.isArray(one) && one.length === 0);
  const set = fields.filter((field) => all || isSet(value[field.name]));
  if (set.length === 0) return h('span', { class: 'unset' }, '–');
  return h(
    'dl',
    { class: 'record' },
    set.map((field) =>
      h(
        'div',
        {},
        h('dt', { title: field.name }, labelOf(field.name)),
        h('dd', {}, shown(field, value[field.name], signal)),
      ),
    ),
  );
}

function list(field, value, signal) {
  if (value.length === 0) return h('span', { class: 'unset' }, '–');
  const elements = { type: 'string', ...field.elements };
  if (value.some((one) => one !== null && typeof one === 'object')) {
    return h(
      'ol',
      { class: 'plain' },
      value.map((one) => h('li', {}, shown(elements, one, signal))),
    );
  }
  return h(
    'span',
    { class: 'tokens' },
    value.map((one) => h('span', { class: 'token', title: String(one) }, String(one))),
  );
}

function map(field, value, signal) {
  const values = { type: undefined, ...field.values };
  return h(
    'dl',
    { class: 'record' },
    Object.entries(value).map(([name, one]) =>
      h('div', {}, h('dt', {}, name), h('dd', {}, shown({ ...values, name }, one, signal))),
    ),
  );
}

/** What nobody looking over a shoulder should read. */
export function secret(value) {
  const text = h('span', { class: 'value' }, COVER);
  const show = h(
    'button',
    {
      type: 'button',
      class: 'plain link',
      onclick: () => {
        const hidden = text.textContent !== COVER;
        replace(text, hidden ? COVER : String(value));
        replace(show, t(hidden ? 'show' : 'hide'));
      },
    },
    t('show'),
  );
  return h(
    'span',
    { class: 'secret' },
    text,
    show,
    copyButton(() => String(value)),
  );
}

/** What a record of an entity shows in a column. */
export function cell(entity, name, row, signal) {
  const value = row[name];
  if (name === 'id') return h('code', {}, String(value).slice(0, 8));
  if (name === 'cert') return h('span', { class: 'unset' }, t('certificate.of', { size: value?.length ?? 0 }));
  if (['service', 'route', 'consumer', 'certificate', 'set', 'upstream'].includes(name) && value?.id) {
    const reference = name === 'set' ? 'key_sets' : `${name}s`;
    return definition(reference) && foreign(reference, value, signal);
  }
  if (['created_at', 'updated_at'].includes(name) && value) return time(value);
  if (typeof value === 'boolean') return yesNo(value);
  return shown({ name, encrypted: isGuarded(entity, name) }, value, signal);
}
