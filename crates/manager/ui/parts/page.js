/** What pages have in common: a heading with actions, the way back, and what stands where nothing is. */

import { h } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { isReadOnly } from '../core/node.js';
import { t } from '../core/texts.js';

/** The head of a page. `trail` leads back: pairs of an address and its name. */
export function heading(title, { trail = [], actions, about, mark } = {}) {
  return h(
    'header',
    { class: 'page' },
    trail.length > 0 &&
      h(
        'nav',
        { class: 'trail', 'aria-label': t('trail') },
        trail.map(([address, name]) => [h('a', { href: address }, name), icon('chevron')]),
      ),
    h(
      'div',
      { class: 'titled' },
      h('h1', { tabindex: '-1' }, title),
      mark,
      actions && h('div', { class: 'page-actions' }, actions),
    ),
    about && h('p', { class: 'about' }, about),
  );
}

/** A link that looks like a button. */
export function linkButton(address, picture, words, kind = '') {
  return h('a', { class: `button ${kind}`, href: address }, picture && icon(picture), words);
}

/** The button that leads to the form of something new, where the node can keep it. */
export function createButton(address, words, kind) {
  return isReadOnly() ? null : linkButton(address, 'plus', words, kind);
}

/** What stands where there is nothing yet. */
export function nothing(picture, words, action) {
  return h('div', { class: 'empty' }, icon(picture), h('p', {}, words), action);
}

/** A panel with a heading of its own. */
export function panel(title, ...content) {
  return h('section', { class: 'panel' }, title && h('h2', {}, title), content);
}

/** A number with what it is a number of. */
export function figure(value, label, address, kind = '') {
  const inside = [h('strong', {}, value), h('span', {}, label)];
  return address
    ? h('a', { class: `figure ${kind}`, href: address }, inside)
    : h('div', { class: `figure ${kind}` }, inside);
}
