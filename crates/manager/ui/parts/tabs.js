/** Several views of one thing, one at a time. */

import { h, replace, uniqueId } from '../core/dom.js';

/** Tabs: each has a `name`, a `label` and a function `show` that gives its content when it is first looked at. */
export function tabs(views, { chosen, changed, label } = {}) {
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
        onclick: () => choose(view),
      },
      view.label,
      view.count !== undefined && h('span', { class: 'count' }, view.count),
    ),
  );
  const list = h('div', { role: 'tablist', 'aria-label': label }, buttons);
  const choose = async (view) => {
    if (changed?.(view.name) === false) return;
    shown.forEach((one, at) => {
      buttons[at].setAttribute('aria-selected', String(one === view));
      buttons[at].tabIndex = one === view ? 0 : -1;
    });
    panel.setAttribute('aria-labelledby', `${id}-${view.name}`);
    panel.dataset.view = view.name;
    const content = await view.show();
    if (panel.dataset.view === view.name) replace(panel, content);
  };
  list.addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = buttons.indexOf(document.activeElement);
    const next = (at + step + buttons.length) % buttons.length;
    buttons[next].focus();
    choose(shown[next]);
  });
  choose(shown.find((view) => view.name === chosen) ?? shown[0]);
  return h('div', { class: 'tabbed' }, list, panel);
}
