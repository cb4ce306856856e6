/** Several views of one thing, one at a time. */

import { Away } from '../core/api.js';
import { h, replace, uniqueId } from '../core/dom.js';
import { on } from '../core/events.js';
import { keepInAddress } from '../core/router.js';
import { icon } from '../core/icons.js';
import { t } from '../core/texts.js';
import { nothing } from './page.js';

/**
 * Tabs: each has a `name`, a `label` and a function `show` that gives its content when it is first looked at. With
 * `chosen`, which may be null, the address says which one is shown.
 */
export function tabs(views, { chosen, label } = {}) {
  const shown = views.filter(Boolean);
  const id = uniqueId('tab');
  const panel = h('div', { role: 'tabpanel', id: `${id}-panel`, tabindex: '-1' });
  const buttons = shown.map((view) =>
    h(
      'button',
      {
        type: 'button',
        role: 'tab',
        id: `${id}-${view.name}`,
        'aria-controls': `${id}-panel`,
        onclick: () => pick(view),
      },
      view.label,
      view.count !== undefined && h('span', { class: 'count' }, view.count),
    ),
  );
  const list = h('div', { role: 'tablist', 'aria-label': label }, buttons);
  const choose = async (view) => {
    shown.forEach((one, at) => {
      buttons[at].setAttribute('aria-selected', String(one === view));
      buttons[at].tabIndex = one === view ? 0 : -1;
    });
    panel.setAttribute('aria-labelledby', `${id}-${view.name}`);
    panel.dataset.view = view.name;
    let content;
    try {
      content = await view.show();
    } catch (error) {
      if (error.name === 'AbortError') return;
      content = nothing('warning', error.message, h('button', { onclick: () => choose(view) }, icon('refresh'), t('again')));
      const again = new AbortController();
      const retry = () => {
        again.abort();
        if (panel.isConnected && panel.dataset.view === view.name) choose(view);
      };
      if (error instanceof Away) on('back', retry, again.signal);
    }
    if (panel.dataset.view === view.name) replace(panel, content);
  };
  const pick = (view) => {
    if (chosen !== undefined) keepInAddress('view', view.name);
    choose(view);
  };
  list.addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = buttons.indexOf(document.activeElement);
    const next = (at + step + buttons.length) % buttons.length;
    buttons[next].focus();
    pick(shown[next]);
  });
  choose(shown.find((view) => view.name === chosen) ?? shown[0]);
  return h('div', { class: 'tabbed' }, list, panel);
}
