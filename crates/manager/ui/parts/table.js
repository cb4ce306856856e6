/** Tables of records: the first cell leads to the record, and so does a click anywhere in its row. */

import { send } from '../core/api.js';
import { h } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { isReadOnly } from '../core/node.js';
import { go, href } from '../core/router.js';
import { isGuarded } from '../core/schemas.js';
import { t } from '../core/texts.js';
import { definition, keyOf, titleOf } from '../entities/definitions.js';
import { labelOf } from '../entities/labels.js';
import { done, failed } from '../shell/toast.js';
import { cell } from './value.js';

/** A table. `render` may show single columns in a way of their own; `remove` is called for what is to go. */
export function table({
  entity,
  columns,
  records,
  open = (record) => href(entity, keyOf(record)),
  edit,
  remove,
  render = {},
  signal,
  path = definition(entity).path,
}) {
  const acted = (edit || remove) && !isReadOnly();
  const head = h(
    'tr',
    {},
    columns.map((name) => h('th', { scope: 'col' }, labelOf(name))),
    acted && h('th', { class: 'actions' }, h('span', { class: 'offscreen' }, t('actions'))),
  );
  const rows = records.map((row) => {
    const address = open && open(row);
    const cells = columns.map((name, at) =>
      h(
        'td',
        { 'data-column': name, 'data-label': labelOf(name) },
        at === 0 && address && !render[name]
          ? first(entity, name, row, address, signal)
          : (render[name]?.(row) ??
              (name === 'enabled' ? enabledSwitch(entity, path, row) : cell(entity, name, row, signal))),
      ),
    );
    const element = h(
      'tr',
      {
        class: address ? 'link' : null,
        onclick: (event) => {
          if (address && !event.target.closest('a, button, input, label') && getSelection().isCollapsed) go(address);
        },
      },
      cells,
      acted &&
        h(
          'td',
          { class: 'actions' },
          edit &&
            h(
              'a',
              { href: edit(row), 'aria-label': t('edit.named', { name: titleOf(row, entity) }), title: t('edit') },
              icon('edit'),
            ),
          remove &&
            h(
              'button',
              {
                class: 'plain',
                'aria-label': t('delete.named', { name: titleOf(row, entity) }),
                title: t('delete'),
                onclick: () => remove(row, element),
              },
              icon('trash'),
            ),
        ),
    );
    return element;
  });
  return h(
    'div',
    { class: 'scrolled', tabindex: '0', role: 'region', 'aria-label': t(`page.${entity}`) },
    h('table', { class: 'records' }, h('thead', {}, head), h('tbody', {}, rows)),
  );
}

/** The link to a record; a secret that comes first stands beside it. */
function first(entity, name, row, address, signal) {
  const link = (words) => h('a', { class: 'first', href: address }, words);
  if (!isGuarded(entity, name)) return link(row[name] || titleOf(row, entity));
  return [link(titleOf(row, entity)), ' ', cell(entity, name, row, signal)];
}

/** A switch that turns a record on and off at once. */
export function enabledSwitch(entity, path, record, changed) {
  const input = h('input', {
    type: 'checkbox',
    class: 'toggle',
    role: 'switch',
    checked: record.enabled !== false,
    disabled: isReadOnly(),
    'aria-label': t('enabled.named', { name: titleOf(record, entity) }),
    onchange: async () => {
      input.disabled = true;
      try {
        await send('PATCH', `/${path}/${encodeURIComponent(keyOf(record))}`, { enabled: input.checked });
        done(t(input.checked ? 'enabled.on' : 'enabled.off', { name: titleOf(record, entity) }));
        changed?.();
      } catch (error) {
        input.checked = !input.checked;
        failed(error);
      } finally {
        input.disabled = false;
      }
    },
  });
  return input;
}
