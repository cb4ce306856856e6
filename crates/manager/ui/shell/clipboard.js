/** The clipboard. */

import { h } from '../core/dom.js';

/** Copies a text. Browsers give the clipboard to pages of a secure origin alone; others have the old way. */
export async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = h('textarea', { class: 'offscreen', value: text });
  document.body.append(area);
  area.select();
  document.execCommand('copy');
  area.remove();
}
