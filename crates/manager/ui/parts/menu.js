/** Menus that open below their button. */

import { h } from '../core/dom.js';

/** A menu: what its button shows, and its items. */
export function menu(face, items, { label, kind = '' } = {}) {
  const list = h(
    'ul',
    {},
    items.map((item) => h('li', {}, item)),
  );
  const summary = h('summary', { 'aria-label': label, title: label, class: kind }, face);
  const details = h('details', { class: 'menu' }, summary, list);
  const close = () => {
    details.open = false;
  };
  const elsewhere = (event) => !details.contains(event.target) && close();
  list.addEventListener('click', close);
  details.addEventListener('toggle', () => {
    document[details.open ? 'addEventListener' : 'removeEventListener']('click', elsewhere);
  });
  details.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || !details.open) return;
    close();
    summary.focus();
  });
  return details;
}
