/** One field of a form: its label, its editor, what is to know about it, and what is wrong with it. */

import { h, replace, uniqueId } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { t } from '../core/texts.js';
import { helpOf, labelOf } from '../entities/labels.js';
import { editorFor } from './editor.js';

/** A field with all that belongs to it. */
export function fieldRow(field, context) {
  const [id, labelId, errorId] = [uniqueId('field'), uniqueId('label'), uniqueId('error')];
  const editor = editorFor(field, { ...context, id, labelId });
  const error = h('p', { class: 'error', id: errorId, role: 'alert' });
  const needed = field.required && (field.default === undefined || field.default === null) && field.type !== 'record';
  const name = [
    labelOf(field.name),
    needed && h('span', { class: 'needed', title: t('form.required') }),
    field.referenceable && h('span', { class: 'mark', title: t('form.referenceable') }, icon('key')),
  ];
  // An editor may put another one in its place.
  const find = () => {
    const inner = editor.element.id === id ? editor.element : editor.element.querySelector(`#${id}`);
    return inner?.matches('input, textarea, select') ? inner : null;
  };
  const control = find();
  const label = control
    ? h('label', { class: 'label', id: labelId, for: id, title: field.name }, name)
    : h('span', { class: 'label', id: labelId, title: field.name }, name);
  if (needed) control?.setAttribute('aria-required', 'true');
  const hint = hintOf(field, context);
  const path = [...(context.path ?? []), field.name].join('.');
  const row = h(
    'div',
    { class: `field ${field.type ?? ''}`, 'data-field': path },
    label,
    h('div', { class: 'control' }, editor.element, hint && h('p', { class: 'hint' }, prose(hint)), error),
  );
  return {
    name: field.name,
    element: row,
    value: editor.value,
    set: editor.set,
    errors: (tree) => {
      const text = typeof tree === 'string' ? tree : null;
      const left = editor.errors(text ? undefined : tree) ?? [];
      // An error of an item that has no place of its own stands at the field.
      const loose =
        text === null && Array.isArray(tree) && left.length > 0 && editor.element.className === 'tokenized'
          ? left.join('; ')
          : text;
      replace(error, loose);
      row.classList.toggle('wrong', loose !== null || left.length > 0);
      const shown = find();
      shown?.setAttribute('aria-invalid', String(loose !== null));
      if (loose) shown?.setAttribute('aria-describedby', errorId);
      return loose ? [loose] : left;
    },
    faults: async () => {
      const found = (await editor.faults?.()) ?? [];
      row.classList.toggle('wrong', found.length > 0);
      return found;
    },
  };
}

/** A text in which code stands between backquotes. */
function prose(text) {
  return text.split('`').map((part, at) => (at % 2 === 1 ? h('code', {}, part) : part));
}

/** What helps to fill it in. */
function hintOf(field, context) {
  const words = [];
  const help = helpOf(context.entity, field.name) ?? field.description;
  if (help) words.push(help);
  if (field.between) words.push(t('form.between', { low: field.between[0], high: field.between[1] }));
  else if (typeof field.gt === 'number') words.push(t('form.above', { low: field.gt }));
  if (field.deprecation) words.push(t('form.deprecated', { words: field.deprecation.message ?? '' }));
  return words.join(' ');
}
