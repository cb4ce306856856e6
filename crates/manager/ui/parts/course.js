/** The course of a request: what became of it, step by step. */

import { h } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { href } from '../core/router.js';
import { number, t } from '../core/texts.js';
import { pluginTitle } from '../entities/plugins.js';
import { round } from './chart.js';
import { code } from './code.js';
import { fold } from './fold.js';
import { healthBadge } from './health.js';

/** All of it, from the first line to the answer. */
export function course(told) {
  const before = (told.plugins ?? []).filter((step) =>
    ['rewrite', 'access', 'certificate', 'preread'].includes(step.phase),
  );
  const after = (told.plugins ?? []).filter((step) => !before.includes(step));
  return h(
    'ol',
    { class: 'course' },
    step(
      'external',
      t('trace.request'),
      [`${told.request?.method ?? ''} ${told.request?.target ?? ''}`],
      table(told.request?.headers),
    ),
    step(
      'routes',
      t('trace.router'),
      [told.route ? link('routes', told.route) : t('trace.noroute'), told.service && link('services', told.service)],
      candidates(told.router),
    ),
    before.map(pluginStep),
    told.upstream &&
      step(
        'upstreams',
        t('trace.upstream'),
        [link('upstreams', told.upstream), told.upstream.algorithm],
        targets(told.upstream),
      ),
    (told.tries ?? []).map(tryStep),
    after.map(pluginStep),
    step(
      'check',
      t('trace.response'),
      [statusBadge(told.response?.status), t(`trace.by.${told.answered_by ?? 'gateway'}`), times(told.timings)],
      [
        told.response?.error && h('p', { class: 'error' }, told.response.error),
        table(told.response?.headers),
        told.response?.body && code(told.response.body + (told.response.truncated ? '\n…' : '')),
      ],
    ),
  );
}

function step(picture, title, words, more, kind = '') {
  const shown = words.filter(Boolean).flatMap((word) => [' ', word]);
  const rest = [more].flat(Infinity).filter(Boolean);
  return h(
    'li',
    { class: kind },
    h('span', { class: 'sign' }, icon(picture)),
    h('div', { class: 'told' }, fold([h('strong', {}, title), shown], rest.length > 0 ? () => rest : null)),
  );
}

function link(entity, record) {
  return record.id ? h('a', { href: href(entity, record.id) }, record.name ?? record.id.slice(0, 8)) : record.name;
}

/** A status, by how bad it is. */
export function statusBadge(status) {
  const kind = status >= 500 ? 'bad' : status >= 400 ? 'warn' : 'good';
  return status ? h('span', { class: `badge ${kind}` }, status) : h('span', { class: 'badge bad' }, t('trace.none'));
}

function times(timings) {
  if (!timings) return null;
  const milliseconds = (value) => `${number(round(value))} ms`;
  const known = Object.entries(timings).filter(([, value]) => typeof value === 'number');
  const values = Object.fromEntries(known.map(([name, value]) => [name, milliseconds(value)]));
  const words = 'upstream' in values && 'gateway' in values ? t('trace.times', values) : t('trace.total', values);
  return h('span', { class: 'unset' }, words);
}

function pluginStep({ name, id, phase, time, changes = {}, answered }) {
  const touched = Object.keys(changes);
  return step(
    'plugins',
    pluginTitle(name),
    [
      h('span', { class: 'badge' }, phase),
      answered && h('span', { class: 'badge warn' }, t('trace.answered', { status: answered.status })),
      touched.length === 0 && !answered && h('span', { class: 'unset' }, t('trace.untouched')),
      touched.length > 0 && touched.map((one) => h('span', { class: 'token' }, one.replaceAll('_', ' '))),
      h('span', { class: 'unset' }, `${number(round(time ?? 0))} ms`),
      h('a', { href: href('plugins', id) }, t('open')),
    ],
    [touched.map((one) => difference(one, changes[one])), answered && table(answered.headers)],
    answered ? 'ended' : '',
  );
}

/** What a plugin has changed, as lines that went and lines that came. */
function difference(what, change) {
  const lines = (list, sign, kind) =>
    (list ?? []).map(([name, value]) => h('div', { class: kind }, `${sign} ${name}: ${value}`));
  const single = 'from' in change || 'to' in change;
  const text = (value) => (typeof value === 'string' ? value : JSON.stringify(value));
  return h(
    'div',
    { class: 'difference' },
    h('p', {}, what.replaceAll('_', ' ')),
    h(
      'code',
      {},
      single
        ? [h('div', { class: 'gone' }, `- ${text(change.from)}`), h('div', { class: 'new' }, `+ ${text(change.to)}`)]
        : [lines(change.removed, '-', 'gone'), lines(change.added, '+', 'new')],
    ),
  );
}

function candidates(router) {
  const routes = router?.candidates ?? [];
  if (routes.length === 0) return null;
  return h(
    'ol',
    { class: 'plain' },
    routes.map((route, at) =>
      h(
        'li',
        {},
        link('routes', route),
        ' ',
        at === 0
          ? h('span', { class: 'badge good' }, t('trace.won'))
          : h('span', { class: 'unset' }, t('trace.behind', { why: route.behind_for ?? '' })),
        ' ',
        h(
          'code',
          {},
          route.expression ??
            Object.entries(route.asks_for ?? {})
              .map(([name, list]) => `${name}: ${list.join(' ')}`)
              .join(', '),
        ),
      ),
    ),
  );
}

function targets(upstream) {
  const rows = upstream.targets ?? [];
  return (
    rows.length > 0 &&
    h(
      'ul',
      { class: 'plain' },
      rows.map((target) =>
        h(
          'li',
          {},
          h('code', {}, target.target ?? target.address),
          ' ',
          h('span', { class: 'unset' }, t('map.weight', { weight: target.weight ?? '–' })),
          ' ',
          target.health && healthBadge(target),
        ),
      ),
    )
  );
}

function tryStep(one, at) {
  return step(
    'balance',
    t('trace.try', { number: at + 1 }),
    [
      h('code', {}, one.address),
      h('span', { class: 'unset' }, one.chosen_by),
      one.failed
        ? h('span', { class: 'badge bad' }, t('trace.failed'))
        : statusBadge(one.status ?? one.received?.status),
      typeof one.time === 'number' && h('span', { class: 'unset' }, `${number(round(one.time))} ms`),
    ],
    [
      one.sent && [
        h('p', { class: 'count' }, h('code', {}, `${one.sent.method} ${one.sent.target}`)),
        table(one.sent.headers),
      ],
      one.sent?.body && code(one.sent.body),
      one.received && [h('p', { class: 'count' }, t('trace.received')), table(one.received.headers)],
    ],
    one.failed ? 'bad' : '',
  );
}

/** Header lines; those without a value are kept secret. */
function table(headers) {
  const rows = headers ?? [];
  return (
    rows.length > 0 &&
    h(
      'dl',
      { class: 'record lines' },
      rows.map(([name, value]) =>
        h(
          'div',
          {},
          h('dt', {}, h('code', {}, name)),
          h('dd', {}, value === null ? h('span', { class: 'unset' }, t('trace.hidden')) : h('code', {}, value)),
        ),
      ),
    )
  );
}
