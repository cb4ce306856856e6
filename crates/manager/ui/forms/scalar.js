/** Editors of single values. */

import { h, replace } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { emptied } from '../core/schemas.js';
import { t } from '../core/texts.js';
import { referenceButton } from './reference.js';

/** Texts that are long by nature. */
const LONG = [
  'access',
  'body',
  'body_filter',
  'cert',
  'cert_alt',
  'certificate',
  'condition',
  'descriptor',
  'expression',
  'header_filter',
  'jwk',
  'key',
  'key_alt',
  'log',
  'pem',
  'policy_text',
  'private_key',
  'public_key',
  'rewrite',
  'schema',
  'template',
];
/** What the names of others end with. */
const LONG_ENDS = /_(by_lua|certificate|pem|public_key|schema|spec)$/;

/** Whether texts of that name have several lines. */
export function isLong(name) {
  return LONG.includes(name) || LONG_ENDS.test(name ?? '');
}

/** A text of one line, of several, or one that is nobody's business. */
export function textEditor(field, context) {
  const long = isLong(field.name) && !field.uuid && !(field.name === 'key' && context.entity !== 'certificates');
  const secret = !long && (field.encrypted || /(password|secret|_token|_key)$/.test(field.name ?? ''));
  const area = () => h('textarea', { id: context.id, rows: 5, spellcheck: 'false', class: 'code' });
  let input = long
    ? area()
    : h('input', {
        id: context.id,
        type: secret ? 'password' : 'text',
        autocomplete: secret ? 'new-password' : 'off',
        spellcheck: 'false',
        maxlength: field.len_max,
      });
  // A line has no room for several: they would become one.
  const grow = (value) => {
    if (input.tagName === 'TEXTAREA' || !/[\r\n]/.test(value)) return false;
    const [line, lines] = [input, area()];
    const kept = [...line.attributes].filter(({ name }) => name.startsWith('aria-'));
    kept.forEach(({ name, value: words }) => lines.setAttribute(name, words));
    if (line.type === 'password') lines.classList.add('masked');
    lines.addEventListener('input', context.change);
    input = lines;
    line.replaceWith(lines);
    return true;
  };
  const paste = (event) => {
    const text = event.clipboardData.getData('text').replace(/[\r\n]+$/, '');
    const { value, selectionStart: start, selectionEnd: end } = input;
    if (!grow(text)) return;
    event.preventDefault();
    input.value = value.slice(0, start) + text + value.slice(end);
    input.focus();
    context.change();
  };
  if (!long) input.addEventListener('paste', paste);
  if (field.default !== undefined && field.default !== null) input.placeholder = String(field.default);
  else if (field.auto) input.placeholder = t('form.auto');
  input.addEventListener('input', context.change);
  const show =
    secret &&
    h(
      'button',
      {
        type: 'button',
        class: 'plain',
        'aria-label': t('show'),
        onclick: () => {
          if (input.tagName === 'TEXTAREA') input.classList.toggle('masked');
          else input.type = input.type === 'password' ? 'text' : 'password';
        },
      },
      icon('eye'),
    );
  const refer =
    field.referenceable &&
    referenceButton((reference) => {
      input.value = reference;
      context.change();
    });
  const element = long && !refer ? input : h('div', { class: 'with-buttons' }, input, show, refer);
  return {
    element,
    value: () => (input.value === '' ? null : input.value),
    set: (value) => {
      grow(value ?? '');
      input.value = value ?? '';
    },
    errors: () => {},
  };
}

/** A number with its bounds. */
export function numberEditor(field, context) {
  const [low, high] = field.between ?? [];
  const input = h('input', {
    id: context.id,
    type: 'number',
    min: low ?? (field.gt === 0 ? 0 : undefined),
    max: high,
    step: field.type === 'integer' ? 1 : 'any',
    inputmode: 'decimal',
  });
  if (typeof field.default === 'number') input.placeholder = String(field.default);
  input.addEventListener('input', context.change);
  return {
    element: input,
    value: () => (input.value === '' ? null : Number(input.value)),
    set: (value) => {
      input.value = value ?? '';
    },
    errors: () => {},
  };
}

/** One of a few values. */
export function selectEditor(field, context) {
  const optional = !field.required || field.default === undefined;
  const select = h(
    'select',
    { id: context.id, onchange: context.change },
    optional && h('option', { value: '' }, t('form.unset')),
    field.one_of.map((one) => h('option', { value: JSON.stringify(one) }, String(one))),
  );
  return {
    element: select,
    value: () => (select.value === '' ? null : JSON.parse(select.value)),
    set: (value) => {
      select.value = value === null || value === undefined ? '' : JSON.stringify(value);
    },
    errors: () => {},
  };
}

/** On or off. */
export function switchEditor(field, context) {
  const input = h('input', {
    id: context.id,
    type: 'checkbox',
    class: 'toggle',
    role: 'switch',
    onchange: context.change,
  });
  return {
    element: input,
    value: () => input.checked,
    set: (value) => {
      input.checked = value === true;
    },
    errors: () => {},
  };
}

/** Some of a few values. */
export function choicesEditor(field, context) {
  const boxes = field.elements.one_of.map((one) => {
    const input = h('input', { type: 'checkbox', onchange: context.change });
    return { one, input, label: h('label', { class: 'choice' }, input, h('span', {}, String(one))) };
  });
  const element = h(
    'div',
    { id: context.id, class: 'choices', role: 'group', 'aria-labelledby': context.labelId },
    boxes.map((box) => box.label),
  );
  return {
    element,
    value: () => {
      const chosen = boxes.filter((box) => box.input.checked).map((box) => box.one);
      return chosen.length > 0 ? chosen : emptied(field, []);
    },
    set: (value) =>
      boxes.forEach((box) => {
        box.input.checked = (value ?? []).includes(box.one);
      }),
    errors: () => {},
  };
}

/** Whatever can be written as JSON. */
export function jsonEditor(field, context) {
  const input = h('textarea', { id: context.id, class: 'code', rows: 5, spellcheck: 'false', oninput: context.change });
  const problem = h('p', { class: 'error' });
  const read = () => {
    if (input.value.trim() === '') return null;
    try {
      const value = JSON.parse(input.value);
      replace(problem);
      return value;
    } catch (error) {
      replace(problem, error.message);
      // The Admin API is to say what is wrong with it, rather than that it is not there.
      return input.value;
    }
  };
  return {
    element: h('div', {}, input, problem),
    value: read,
    set: (value) => {
      input.value = value === null || value === undefined ? '' : JSON.stringify(value, null, 2);
    },
    errors: () => {},
  };
}
