/** Windows within the page, by the browser's own `dialog`: focus stays in them, and Escape closes them. */

import { h, uniqueId } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { t } from '../core/texts.js';

/** Shows a dialog; `content` is given a function that closes it. Resolves with what that function was given. */
export function dialog(title, content, { wide = false, fixed = false } = {}) {
  return new Promise((resolve) => {
    const id = uniqueId('dialog');
    let answer;
    const close = (value) => {
      answer = value;
      element.close();
    };
    const element = h(
      'dialog',
      { class: wide ? 'wide' : null, 'aria-labelledby': id },
      h(
        'header',
        {},
        h('h2', { id }, title),
        !fixed && h('button', { class: 'plain', 'aria-label': t('close'), onclick: () => close() }, icon('close')),
      ),
      content(close),
    );
    element.addEventListener('close', () => {
      element.remove();
      resolve(answer);
    });
    if (fixed) element.addEventListener('cancel', (event) => event.preventDefault());
    else element.addEventListener('click', (event) => event.target === element && close());
    document.body.append(element);
    element.showModal();
  });
}

/** Asks whether to do what cannot be undone; `lines` shows what would be sent. */
export function confirmed(title, words, action, lines) {
  return dialog(title, (close) =>
    h(
      'form',
      { method: 'dialog', onsubmit: () => close(true) },
      h('p', {}, words),
      lines,
      h(
        'footer',
        {},
        h('button', { type: 'button', onclick: () => close(false) }, t('cancel')),
        h('button', { class: 'danger', autofocus: true }, action),
      ),
    ),
  );
}

/** Says why something cannot be done, with a link to what stands against it. */
export function explained(title, words, address, label) {
  return dialog(title, (close) => [
    h('p', {}, words),
    h('footer', {}, h('a', { class: 'button primary', href: address, onclick: () => close() }, label)),
  ]);
}
