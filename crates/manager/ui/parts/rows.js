/** Plain tables: of what is no record with a page of its own. */

import { h } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { t } from '../core/texts.js';

/** A table by the words above its columns and the cells of each line. */
export function rows(label, heads, lines) {
  return h(
    'div',
    { class: 'scrolled', tabindex: '0', role: 'region', 'aria-label': label },
    h(
      'table',
      {},
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          heads.map((head) => h('th', { scope: 'col' }, head ?? h('span', { class: 'offscreen' }, t('actions')))),
        ),
      ),
      h(
        'tbody',
        {},
        lines.map((cells) =>
          h(
            'tr',
            {},
            cells.map((cell, at) => h('td', { class: heads[at] === null ? 'actions' : null }, cell)),
          ),
        ),
      ),
    ),
  );
}

/** The button at the end of a line that takes away what it is about. */
export function removeButton(name, remove) {
  const label = t('delete.named', { name });
  return h('button', { class: 'plain', 'aria-label': label, title: label, onclick: remove }, icon('trash'));
}
