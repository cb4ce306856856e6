/** Short words about what has just happened. */

import { h } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { t } from '../core/texts.js';
import { Away } from '../core/api.js';

const shown = h('div', { class: 'toasts', role: 'status', 'aria-live': 'polite' });
const DURATION = 5000;

/** Where they appear. */
export function toasts() {
  return shown;
}

/** Says that something went well. */
export function done(words, action) {
  say('done', 'check', words, action);
}

/** Says that something went wrong; `error` is what was thrown. */
export function failed(error) {
  const words = error instanceof Away ? t('away.unsent') : error.message;
  say('failed', 'warning', words);
}

function say(kind, picture, words, action) {
  const close = () => toast.remove();
  const toast = h(
    'div',
    { class: `toast ${kind}` },
    icon(picture),
    h('span', {}, words),
    action && h('a', { href: action.href, onclick: close }, action.words),
    h('button', { class: 'plain', 'aria-label': t('close'), onclick: close }, icon('close')),
  );
  shown.append(toast);
  while (shown.children.length > 4) shown.firstChild.remove();
  const timer = () => setTimeout(close, DURATION);
  let running = timer();
  // Who reads it is given the time.
  toast.addEventListener('pointerenter', () => clearTimeout(running));
  toast.addEventListener('pointerleave', () => {
    running = timer();
  });
}
