/** A place to try expressions: what holds for a request that is described, part by part. */

import { Refusal, send } from '../core/api.js';
import { debounced, h, replace } from '../core/dom.js';
import { hasEndpoint } from '../core/endpoints.js';
import { icon } from '../core/icons.js';
import { href } from '../core/router.js';
import { t } from '../core/texts.js';
import { createButton, heading, nothing, panel } from '../parts/page.js';

const EXAMPLE = 'http.path ^= "/orders" && (http.method == "GET" || any(lower(http.headers.x_version)) == "v2")';
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'];
const FIELDS = [
  'http.method',
  'http.host',
  'http.path',
  'http.path.segments.0',
  'http.path.segments.len',
  'http.headers.NAME',
  'http.queries.NAME',
  'net.protocol',
  'net.src.ip',
  'net.src.port',
  'net.dst.port',
  'tls.sni',
];
const OPERATORS = [
  '==',
  '!=',
  '~',
  '^=',
  '=^',
  'contains',
  'in',
  'not in',
  '>',
  '>=',
  '<',
  '<=',
  '&&',
  '||',
  '!(…)',
  'lower(…)',
  'any(…)',
];

/** Shows it. */
export async function show(place) {
  const head = heading(t('page.expressions'), { about: t('about.expressions') });
  if (!(await hasEndpoint('/bascule/expression'))) return [head, nothing('expressions', t('absent'))];
  const expression = h('textarea', {
    class: 'code',
    rows: 6,
    spellcheck: 'false',
    'aria-label': t('expressions.expression'),
    value: place.query.get('expression') ?? EXAMPLE,
  });
  const method = h(
    'select',
    { 'aria-label': t('trace.method') },
    METHODS.map((name) => h('option', {}, name)),
  );
  const url = h('input', { spellcheck: 'false', 'aria-label': 'URL', value: 'http://localhost/orders/17?full=1' });
  const headers = h('textarea', {
    class: 'code',
    rows: 3,
    spellcheck: 'false',
    'aria-label': t('trace.headers'),
    value: 'X-Version: V2',
  });
  const client = h('input', { spellcheck: 'false', 'aria-label': t('expressions.client'), value: '10.0.0.1' });
  const result = h('div', { 'aria-live': 'polite' });
  const judge = async () => {
    const lines = headers.value
      .split('\n')
      .map((line) => line.match(/^([^:]+):(.*)$/))
      .filter(Boolean);
    const content = {
      expression: expression.value,
      method: method.value,
      url: url.value.trim(),
      client_ip: client.value.trim(),
      headers: lines.map(([, name, value]) => [name.trim(), value.trim()]),
    };
    try {
      const told = await send('POST', '/bascule/expression', content, { global: true, signal: place.signal });
      replace(
        result,
        h(
          'p',
          { class: 'verdict' },
          h(
            'span',
            { class: told.holds ? 'badge good' : 'badge bad' },
            t(told.holds ? 'expressions.holds' : 'expressions.fails'),
          ),
        ),
        h('ul', { class: 'parts' }, part(told)),
      );
    } catch (error) {
      if (place.signal.aborted) return;
      replace(
        result,
        h(
          'p',
          { class: 'problems' },
          icon('warning'),
          h('span', {}, error instanceof Refusal ? error.message : t('away.unsent')),
        ),
      );
    }
  };
  const soon = debounced(250, judge);
  const put = (word) => {
    expression.setRangeText(word, expression.selectionStart, expression.selectionEnd, 'end');
    expression.focus();
    soon();
  };
  const words = (list) =>
    h(
      'div',
      { class: 'tokens' },
      list.map((word) => h('button', { type: 'button', class: 'token', onclick: () => put(word) }, word)),
    );
  judge();
  return [
    head,
    h(
      'div',
      { class: 'columns', oninput: soon, onchange: soon },
      panel(
        t('expressions.expression'),
        expression,
        h('p', { class: 'hint' }, t('expressions.fields')),
        words(FIELDS),
        h('p', { class: 'hint' }, t('expressions.operators')),
        words(OPERATORS),
        createButton(href('routes', 'create'), t('new.routes')),
      ),
      h(
        'div',
        {},
        panel(
          t('trace.request'),
          h('div', { class: 'asked two' }, method, url),
          h('label', { class: 'stacked below' }, h('span', {}, t('trace.headers')), headers),
          h('label', { class: 'stacked' }, h('span', {}, t('expressions.client')), client),
        ),
        panel(t('expressions.result'), result),
      ),
    ),
  ];
}

/** A part of the expression with its own parts. */
function part({ kind, holds, text, parts }) {
  return h(
    'li',
    { class: holds ? 'holds' : 'fails' },
    h('span', { class: 'sign' }, icon(holds ? 'check' : 'close', t(holds ? 'yes' : 'no'))),
    kind === 'test' ? h('code', {}, text) : h('strong', {}, t(`expressions.${kind}`)),
    parts && h('ul', { class: 'parts' }, parts.map(part)),
  );
}
