/** Text for machines, with a button that copies it. */

import { h } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { t } from '../core/texts.js';
import { copy } from '../shell/clipboard.js';
import { done } from '../shell/toast.js';

/** A block of text. */
export function code(text, label) {
  return h(
    'figure',
    { class: 'code' },
    label && h('figcaption', {}, label),
    copyButton(() => text),
    h('pre', { tabindex: '0' }, h('code', {}, text)),
  );
}

/** A button that copies what `text` gives. */
export function copyButton(text, label = t('copy')) {
  return h(
    'button',
    {
      type: 'button',
      class: 'plain copy',
      'aria-label': label,
      title: label,
      onclick: async (event) => {
        event.preventDefault();
        await copy(text());
        done(t('copied'));
      },
    },
    icon('copy'),
  );
}
