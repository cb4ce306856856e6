/** A line with more behind it. The line may have links and switches of its own; a button beside them unfolds the rest. */

import { h, replace, uniqueId } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { t } from '../core/texts.js';

/** The line, and what `show` gives when it is unfolded for the first time; null: there is nothing more. */
export function fold(line, show) {
  if (!show) return h('div', { class: 'fold' }, h('div', { class: 'folded' }, line));
  const id = uniqueId('fold');
  const body = h('div', { id, hidden: true });
  const button = h(
    'button',
    { type: 'button', class: 'plain', 'aria-expanded': 'false', 'aria-controls': id, 'aria-label': t('details') },
    icon('chevron'),
  );
  button.addEventListener('click', () => {
    if (body.childNodes.length === 0) replace(body, show());
    body.hidden = !body.hidden;
    button.setAttribute('aria-expanded', String(!body.hidden));
  });
  return h('div', { class: 'fold' }, h('div', { class: 'folded' }, button, line), body);
}
