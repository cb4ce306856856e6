/** Maps: names that people choose, with a value each. */

import { h, replace, uniqueId } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { t } from '../core/texts.js';
import { defaultOf } from '../core/schemas.js';
import { editorFor } from './editor.js';

/** The editor of a map. */
export function mapEditor(field, context) {
  const values = field.values ?? { type: 'string' };
  let rows = [];
  const list = h('ol', { class: 'items pairs' });
  const element = h(
    'div',
    { id: context.id, role: 'group', 'aria-labelledby': context.labelId },
    list,
    h(
      'button',
      {
        type: 'button',
        class: 'add',
        onclick: () => {
          add('', defaultOf({ ...values, required: true }));
          list.lastElementChild?.querySelector('input')?.focus();
        },
      },
      icon('plus'),
      t('form.add'),
    ),
  );
  const add = (name, value) => {
    const key = h('input', {
      value: name,
      placeholder: t('form.name'),
      'aria-label': t('form.name'),
      spellcheck: 'false',
      oninput: context.change,
    });
    const editor = editorFor({ ...values, name: field.name, required: true }, { ...context, id: uniqueId('value') });
    editor.set(value);
    const input = editor.element.matches?.('input, textarea, select')
      ? editor.element
      : editor.element.querySelector('input');
    input?.setAttribute('aria-label', t('form.value'));
    const problem = h('p', { class: 'error' });
    const row = { key, editor, problem };
    row.element = h(
      'li',
      {},
      h(
        'div',
        { class: 'item' },
        key,
        editor.element,
        h(
          'button',
          {
            type: 'button',
            class: 'plain',
            'aria-label': t('remove'),
            onclick: () => {
              rows = rows.filter((one) => one !== row);
              row.element.remove();
              context.change();
            },
          },
          icon('trash'),
        ),
      ),
      problem,
    );
    rows.push(row);
    list.append(row.element);
  };
  return {
    element,
    value: () => {
      const pairs = rows.map((row) => [row.key.value, row.editor.value()]).filter(([name]) => name !== '');
      return pairs.length > 0 ? Object.fromEntries(pairs) : null;
    },
    set: (value) => {
      rows = [];
      replace(list);
      for (const [name, one] of Object.entries(value ?? {})) add(name, one);
    },
    errors: (tree) =>
      rows.flatMap((row) => {
        const one = tree && typeof tree === 'object' ? tree[row.key.value] : null;
        const text = typeof one === 'string' ? one : null;
        replace(row.problem, text);
        const left = row.editor.errors(text ? undefined : one) ?? [];
        return text ? [text] : left;
      }),
  };
}
