/** The URL of a service in one line, which fills in protocol, host, port and path. */

import { h, replace, uniqueId } from '../core/dom.js';
import { t } from '../core/texts.js';

const PORTS = { http: 80, https: 443, grpc: 80, grpcs: 443, tcp: 80, tls: 443, udp: 80, tls_passthrough: 443 };

/** The line above the fields of a service. */
export function urlShortcut(rows) {
  const id = uniqueId('url');
  const problem = h('p', { class: 'error' });
  const input = h('input', {
    id,
    type: 'text',
    inputmode: 'url',
    spellcheck: 'false',
    autocomplete: 'off',
    placeholder: 'https://example.com:443/path',
  });
  input.addEventListener('input', () => {
    const parts = read(input.value.trim());
    replace(problem, parts || input.value === '' ? null : t('form.url.wrong'));
    if (!parts) return;
    for (const [name, value] of Object.entries(parts)) rows.get(name)?.set(value);
    rows
      .get('host')
      .element.querySelector('input')
      .dispatchEvent(new Event('input', { bubbles: true }));
  });
  return h(
    'section',
    { class: 'group shortcut' },
    h(
      'div',
      { class: 'field' },
      h('label', { class: 'label', for: id }, 'URL'),
      h('div', { class: 'control' }, input, h('p', { class: 'hint' }, t('form.url')), problem),
    ),
  );
}

function read(text) {
  const match = /^([a-z_]+):\/\/(\[[^\]]+\]|[^:/?#]+)(?::(\d+))?(\/[^?#]*)?$/.exec(text);
  if (!match || !(match[1] in PORTS)) return null;
  const [, protocol, host, port, path] = match;
  return { protocol, host, port: Number(port ?? PORTS[protocol]), path: path && path !== '/' ? path : null };
}
