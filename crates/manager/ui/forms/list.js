/** Lists whose items need a line, or a form of their own, each. */

import { h, replace, uniqueId } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { defaultOf, emptied } from '../core/schemas.js';
import { t } from '../core/texts.js';
import { editorFor } from './editor.js';

/** The editor of an array or a set. */
export function listEditor(field, context) {
  const elements = field.elements ?? { type: 'string' };
  const large = ['record', 'map', 'array', 'set'].includes(elements.type);
  let rows = [];
  const list = h('ol', { class: large ? 'items large' : 'items' });
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
          add(defaultOf({ ...elements, required: true }));
          context.change();
          list.lastElementChild?.querySelector('input, textarea, select')?.focus();
        },
      },
      icon('plus'),
      t('form.add'),
    ),
  );
  const add = (value) => {
    const id = uniqueId('item');
    const editor = editorFor(
      { ...elements, name: field.name, required: true },
      { ...context, id, labelId: context.labelId },
    );
    editor.set(value);
    const problem = h('p', { class: 'error' });
    const row = { editor, problem };
    row.element = h(
      'li',
      {},
      h(
        'div',
        { class: 'item' },
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
    const own = editor.element.matches?.('input, textarea, select') ? editor.element : null;
    const input = own ?? (large ? null : editor.element.querySelector('input, textarea, select'));
    input?.setAttribute('aria-labelledby', context.labelId);
    rows.push(row);
    list.append(row.element);
  };
  return {
    element,
    value: () => {
      const values = rows.map((row) => row.editor.value()).filter((value) => value !== null);
      return values.length > 0 ? values : emptied(field, []);
    },
    set: (value) => {
      rows = [];
      replace(list);
      for (const one of Array.isArray(value) ? value : []) add(one);
    },
    faults: async () => (await Promise.all(rows.map((row) => row.editor.faults?.() ?? []))).flat(),
    errors: (tree) =>
      rows.flatMap((row, at) => {
        const one = Array.isArray(tree) ? tree[at] : tree?.[at + 1];
        const text = typeof one === 'string' ? one : null;
        replace(row.problem, text);
        const left = row.editor.errors(text ? undefined : one) ?? [];
        return text ? [text] : left;
      }),
  };
}
