/** Text for machines, with a button that copies it. */

import { h } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { t } from '../core/texts.js';
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

/** Browsers give the clipboard to pages of a secure origin alone; others have the old way. */
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = h('textarea', { class: 'offscreen', value: text });
  document.body.append(area);
  area.select();
  document.execCommand('copy');
  area.remove();
}
