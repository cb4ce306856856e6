/** The requests that go through the node, one by one, as they end. */

import { h, replace } from '../core/dom.js';
import { follow } from '../core/live.js';
import { number, t } from '../core/texts.js';
import { round } from '../parts/chart.js';
import { statusBadge } from '../parts/course.js';
import { picker } from '../forms/foreign.js';

/** What a request may ask for, usually. */
export const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'];
const STATUSES = ['2xx', '3xx', '4xx', '5xx'];
/** How many are shown. */
const SHOWN = 50;
const COLUMNS = ['time', 'status', 'request', 'route', 'service', 'took'];

/** A list of them, which grows until it is paused; `take` is called with the one that is picked. */
export function recentRequests(place, take) {
  const seen = [];
  const rows = new WeakMap();
  let leftOut = 0;
  const body = h('tbody', {});
  const note = h('p', { class: 'count' });
  const choice = (label, any, names) =>
    h(
      'select',
      { 'aria-label': label, onchange: () => anew() },
      h('option', { value: '' }, any),
      names.map((name) => h('option', {}, name)),
    );
  const method = choice(t('trace.method'), t('requests.methods'), METHODS);
  const status = choice(t('requests.status'), t('requests.statuses'), STATUSES);
  let route = null;
  const pick = picker('routes', null, (record) => {
    route = record?.id ?? null;
    anew();
  });
  pick.input.placeholder = t('requests.routes');
  pick.input.setAttribute('aria-label', t('requests.route'));
  const paused = h(
    'button',
    {
      type: 'button',
      'aria-pressed': 'false',
      onclick: () => {
        const now = paused.getAttribute('aria-pressed') !== 'true';
        paused.setAttribute('aria-pressed', String(now));
        replace(paused, t(now ? 'live.go' : 'live.pause'));
        if (!now) draw();
      },
    },
    t('live.pause'),
  );
  const line = (request) => {
    const row = h(
      'tr',
      { class: 'link', onclick: (event) => event.target.closest('a, button') || pickOne() },
      h('td', { 'data-label': t('requests.time') }, clock(request.time)),
      h('td', { 'data-label': t('requests.status') }, statusBadge(request.status)),
      h(
        'td',
        { 'data-label': t('requests.request'), class: 'wide' },
        h(
          'button',
          { type: 'button', class: 'plain picked', onclick: () => pickOne() },
          h('strong', {}, request.method),
          ' ',
          h('span', { class: 'unset' }, request.host ?? ''),
          request.target,
        ),
      ),
      h('td', { 'data-label': t('requests.route') }, nameOf(request.route)),
      h('td', { 'data-label': t('requests.service') }, nameOf(request.service)),
      h('td', { 'data-label': t('requests.took'), class: 'number' }, `${number(round(request.timings.total))} ms`),
    );
    const pickOne = () => {
      if (!getSelection().isCollapsed) return;
      body.querySelector('[aria-current]')?.removeAttribute('aria-current');
      row.setAttribute('aria-current', 'true');
      take(request);
    };
    return row;
  };
  const draw = () => {
    const lines = seen.slice(0, SHOWN).map((request) => {
      if (!rows.has(request)) rows.set(request, line(request));
      return rows.get(request);
    });
    // Rows that stay are not touched, so that the focus stays where it is.
    for (const old of [...body.children]) if (!lines.includes(old)) old.remove();
    lines.forEach((row, at) => body.children[at] !== row && body.insertBefore(row, body.children[at] ?? null));
    table.hidden = lines.length === 0;
  };
  /** Whoever reads is not disturbed by what comes, and picks what is under the pointer. */
  const isRead = () => table.matches(':hover, :focus-within');
  const say = () => {
    const held = seen.findIndex((request) => rows.has(request));
    if (leftOut > 0) replace(note, t('requests.more', { count: number(leftOut) }));
    else if (seen.length === 0) replace(note, t('requests.waiting'));
    else replace(note, held > 0 ? t('requests.held', { count: number(held) }) : t('requests.shown', { count: SHOWN }));
  };
  const see = (event) => {
    if (paused.getAttribute('aria-pressed') === 'true') return;
    seen.unshift(...event.requests.reverse());
    seen.length = Math.min(seen.length, SHOWN);
    leftOut = event.left_out;
    if (event.requests.length > 0 && !isRead()) draw();
    say();
  };
  let looking = new AbortController();
  const anew = () => {
    looking.abort();
    looking = new AbortController();
    seen.length = 0;
    leftOut = 0;
    draw();
    say();
    const wanted = new URLSearchParams();
    for (const [name, value] of Object.entries({ method: method.value, status: status.value, route })) {
      if (value) wanted.set(name, value);
    }
    follow(`/bascule/requests?${wanted}`, see, AbortSignal.any([looking.signal, place.signal]), (error) =>
      replace(note, error.message),
    );
  };
  const table = h(
    'div',
    {
      class: 'scrolled passing',
      tabindex: '0',
      role: 'region',
      'aria-label': t('requests.title'),
      hidden: true,
    },
    h(
      'table',
      { class: 'records requests' },
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          COLUMNS.map((name) =>
            h('th', { scope: 'col', class: name === 'took' ? 'number' : null }, t(`requests.${name}`)),
          ),
        ),
      ),
      body,
    ),
  );
  table.addEventListener('pointerleave', () => {
    draw();
    say();
  });
  anew();
  return h(
    'section',
    { class: 'below', 'aria-label': t('requests.title') },
    h('h2', {}, t('requests.title')),
    h('p', { class: 'about' }, t('requests.about')),
    h('div', { class: 'filters' }, method, status, pick.element, paused),
    note,
    table,
  );
}

/** The URL of a request that came to the node. */
export function urlOf({ scheme, host, port, target }) {
  return `${scheme}://${host ?? `localhost:${port}`}${target}`;
}

/** What a record is called, where there is one. */
function nameOf(record) {
  return record ? (record.name ?? record.id.slice(0, 8)) : '–';
}

/** The time of day, to the second: what is shown is of just now. */
function clock(seconds) {
  const date = new Date(seconds * 1000);
  return h('time', { datetime: date.toISOString() }, date.toLocaleTimeString(document.documentElement.lang));
}
