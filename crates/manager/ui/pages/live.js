/** What goes through the node, second by second. */

import { h, replace } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { KEPT, watch } from '../core/live.js';
import { href } from '../core/router.js';
import { number, t } from '../core/texts.js';
import { chart, round } from '../parts/chart.js';
import { figure, heading, panel } from '../parts/page.js';
import { tabs } from '../parts/tabs.js';

/** Lists of what requests belong to. */
const LISTS = ['services', 'routes', 'consumers'];

/** Shows it. */
export async function show(place) {
  const points = [];
  const requests = chart(
    [
      { name: t('live.column.requests'), kind: 'main', filled: true, value: (point) => point.requests?.per_second },
      { name: t('live.column.errors'), kind: 'bad', filled: true, value: (point) => point.failing },
    ],
    { label: t('live.requests') },
  );
  const latency = chart(
    [
      { name: 'p50', kind: 'second', value: (point) => point.latency?.p50 },
      { name: 'p90', kind: 'third', value: (point) => point.latency?.p90 },
      { name: 'p99', kind: 'bad', value: (point) => point.latency?.p99 },
    ],
    { label: t('live.latency'), unit: ' ms' },
  );
  const connections = chart(
    [
      { name: t('live.active'), kind: 'main', filled: true, value: (point) => point.connections?.active },
      { name: t('live.waiting'), kind: 'second', value: (point) => point.connections?.waiting },
    ],
    { label: t('live.connections') },
  );
  const figures = h('div', { class: 'figures' });
  const note = h('p', { class: 'count', hidden: true }, t('live.limited'));
  const lists = new Map(LISTS.map((name) => [name, h('div', {})]));
  const paused = h(
    'button',
    {
      'aria-pressed': 'false',
      onclick: () => {
        const now = paused.getAttribute('aria-pressed') !== 'true';
        paused.setAttribute('aria-pressed', String(now));
        replace(paused, t(now ? 'live.go' : 'live.pause'));
      },
    },
    t('live.pause'),
  );

  const refusal = h('p', { class: 'panel note', role: 'status', hidden: true });
  const refused = (error) => {
    replace(refusal, icon('warning'), error.message);
    refusal.hidden = false;
  };
  const see = (point) => {
    refusal.hidden = true;
    points.push({ ...point, failing: errorRate(point, points.at(-1)) });
    if (points.length > KEPT) points.shift();
    if (paused.getAttribute('aria-pressed') === 'true') return;
    requests.show(points);
    latency.show(points);
    connections.show(points);
    replace(figures, numbers(points.at(-1)));
    note.hidden = !point.limited;
    for (const [name, element] of lists) replace(element, ranking(name, point[name] ?? []));
  };
  watch(see, place.signal, { refused });
  return [
    heading(t('page.live'), { about: t('about.live'), actions: [paused] }),
    refusal,
    note,
    figures,
    h(
      'div',
      { class: 'panels thirds' },
      panel(t('live.requests'), requests.element),
      panel(t('live.latency'), latency.element),
      panel(t('live.connections'), connections.element),
    ),
    h(
      'div',
      { class: 'below' },
      tabs(
        LISTS.map((name) => ({ name, label: t(`page.${name}`), show: () => lists.get(name) })),
        { label: t('page.live') },
      ),
    ),
  ];
}

/** Errors per second, by the counts of two pictures. */
function errorRate(point, before) {
  const [now, then] = [point.requests?.errors, before?.requests?.errors];
  if (typeof now !== 'number' || typeof then !== 'number') return 0;
  return Math.max(0, now - then) / Math.max(0.1, point.time - before.time);
}

function numbers(point) {
  const { requests = {}, latency = {}, connections = {} } = point;
  const milliseconds = (value) => (value === undefined || value === null ? '–' : `${number(round(value))} ms`);
  return [
    figure(number(round(requests.per_second ?? 0)), t('live.requests')),
    figure(requests.in_flight ?? '–', t('live.flight')),
    figure(milliseconds(latency.p50), t('live.p50')),
    figure(milliseconds(latency.p99), t('live.p99')),
    figure(number(round(point.failing)), t('live.errors'), null, point.failing > 0 ? 'bad' : ''),
    figure(number(connections.active ?? 0), t('live.connections')),
  ];
}

/** Who has most of the traffic, with a bar each. */
function ranking(entity, rows) {
  if (rows.length === 0) return h('p', { class: 'nothing' }, t('live.none'));
  const sorted = [...rows].sort((a, b) => (b.per_second ?? 0) - (a.per_second ?? 0));
  const most = Math.max(1e-9, sorted[0].per_second ?? 0);
  const name = (row) => row.name ?? row.username ?? row.id ?? '–';
  const milliseconds = (value) => (typeof value === 'number' ? `${number(round(value))} ms` : '–');
  const heads = ['name', 'rate', 'requests', 'errors', 'p50', 'p99'];
  return h(
    'div',
    { class: 'scrolled', tabindex: '0', role: 'region', 'aria-label': t(`page.${entity}`) },
    h(
      'table',
      {},
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          heads.map((head, at) => h('th', { scope: 'col', class: at > 0 ? 'number' : null }, t(`live.column.${head}`))),
        ),
      ),
      h(
        'tbody',
        {},
        sorted.map((row) =>
          h(
            'tr',
            {},
            h(
              'td',
              {},
              row.id && row.id !== 'other' ? h('a', { href: href(entity, row.id) }, name(row)) : name(row),
              h('div', { class: 'meter', style: { '--part': String((row.per_second ?? 0) / most) } }),
            ),
            h('td', { class: 'number' }, number(round(row.per_second ?? 0))),
            h('td', { class: 'number' }, number(row.requests ?? 0)),
            h('td', { class: 'number' }, number(row.errors ?? 0)),
            h('td', { class: 'number' }, milliseconds(row.p50)),
            h('td', { class: 'number' }, milliseconds(row.p99)),
          ),
        ),
      ),
    ),
  );
}
