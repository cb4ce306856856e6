/** Maps: names that people choose, with a value each. */

import { equal, h, replace, uniqueId } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { defaultOf, emptied } from '../core/schemas.js';
import { t } from '../core/texts.js';
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
      : editor.element.querySelector('input, textarea, select');
    input?.setAttribute('aria-label', t('form.value'));
    const problem = h('p', { class: 'error' });
    const row = { key, editor, problem, initial: name === '' ? value : undefined };
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
      return pairs.length > 0 ? Object.fromEntries(pairs) : emptied(field, {});
    },
    set: (value) => {
      rows = [];
      replace(list);
      for (const [name, one] of Object.entries(value ?? {})) add(name, one);
    },
    faults: async () => {
      const names = rows.map((row) => row.key.value);
      const own = rows.map((row, at) => {
        const nameless = row.key.value === '' && !equal(row.editor.value(), row.initial);
        const twice = row.key.value !== '' && names.indexOf(row.key.value) < at;
        const words = nameless ? t('form.nameless') : twice && t('form.twice');
        replace(row.problem, words);
        return words || [];
      });
      const inside = await Promise.all(rows.map((row) => row.editor.faults?.() ?? []));
      return [...own, ...inside].flat();
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
