/** Short words about what has just happened. */

import { h } from '../core/dom.js';
import { on } from '../core/events.js';
import { icon } from '../core/icons.js';
import { soundsSecret } from '../core/schemas.js';
import { t } from '../core/texts.js';
import { curl } from '../entities/commands.js';
import { copy } from './clipboard.js';

const shown = h('div', { class: 'toasts', role: 'status', 'aria-live': 'polite' });
const DURATION = 5000;

/** The request that the next words are about. */
let written = null;
on('written', (request) => {
  written = request;
});

/** Where they appear. */
export function toasts() {
  return shown;
}

/** Says that something went well. What was written can be taken along as a line of `curl`. */
export function done(words, action) {
  const request = written;
  written = null;
  // Secrets go nowhere but to the Admin API.
  const line = request && !hasSecret(request.content) && curl(request.method, request.path, request.content, request);
  say('done', 'check', words, action, line);
}

function hasSecret(content) {
  if (content === null || typeof content !== 'object') return false;
  const values = Object.entries(content);
  return values.some(([name, one]) => (typeof one === 'string' ? soundsSecret(name) : hasSecret(one)));
}

/** Says that something went wrong; `error` is what was thrown. */
export function failed(error) {
  say('failed', 'warning', error.message);
}

function copyLine(line) {
  return h('button', { class: 'plain', 'aria-label': t('copy.curl'), title: line, onclick: () => copy(line) }, icon('copy'));
}

function say(kind, picture, words, action, line) {
  const close = () => toast.remove();
  const toast = h(
    'div',
    { class: `toast ${kind}` },
    icon(picture),
    h('span', {}, words),
    action && h('a', { href: action.href, onclick: close }, action.words),
    line && copyLine(line),
    h('button', { class: 'plain', 'aria-label': t('close'), onclick: close }, icon('close')),
  );
  // The same words once more are no news.
  const same = (other) => other.className === toast.className && other.textContent === toast.textContent;
  if (!line) [...shown.children].find(same)?.remove();
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
