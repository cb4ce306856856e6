/** The banner while the Admin API does not answer. What is on the page stays: nothing that was typed is lost. */

import { api } from '../core/config.js';
import { h, replace } from '../core/dom.js';
import { on } from '../core/events.js';
import { icon } from '../core/icons.js';
import { t } from '../core/texts.js';
import { done } from './toast.js';

/** Where the banner is. */
export function banner() {
  const element = h('div', { class: 'banner', role: 'alert', hidden: true });
  on('away', () => {
    const local = ['localhost', '127.0.0.1', '[::1]'].includes(location.hostname);
    replace(
      element,
      icon('warning'),
      h(
        'div',
        {},
        h('strong', {}, t('away.title', { api })),
        ' ',
        t('away.words'),
        !local && h('span', {}, ' ', t('away.remote')),
      ),
      h('span', { class: 'spinner', 'aria-hidden': 'true' }),
    );
    element.hidden = false;
  });
  on('blocked', () => {
    const words = t('away.blocked', { origin: location.origin });
    replace(element, icon('warning'), h('div', {}, h('strong', {}, t('away.title', { api })), ' ', words));
  });
  on('back', () => {
    element.hidden = true;
    done(t('away.back'));
  });
  return element;
}
