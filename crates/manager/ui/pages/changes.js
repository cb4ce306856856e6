/** Who has changed what, from the audit log: each record as it was and as it became. */

import { get } from '../core/api.js';
import { h, replace } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { href } from '../core/router.js';
import { t } from '../core/texts.js';
import { differenceOf } from '../parts/difference.js';
import { fold } from '../parts/fold.js';
import { heading, nothing } from '../parts/page.js';
import { tabs } from '../parts/tabs.js';
import { time } from '../parts/value.js';

/** Spans of time, in seconds. */
const SPANS = [
  ['hour', 3600],
  ['day', 86400],
  ['week', 604800],
  ['all', 0],
];
const MOST = 2000;

/** Shows it. */
export async function show(place) {
  const { configuration } = await get('/', { global: true, signal: place.signal });
  const on = configuration.audit_log === true || configuration.audit_log === 'on';
  const span = h(
    'select',
    { 'aria-label': t('changes.span') },
    SPANS.map(([name]) => h('option', { value: name }, t(`changes.${name}`))),
  );
  span.value = 'day';
  const search = h('input', {
    type: 'search',
    placeholder: t('list.search'),
    'aria-label': t('list.search'),
    spellcheck: 'false',
  });
  const views = h('div', {});
  const draw = () =>
    replace(
      views,
      tabs(
        [
          { name: 'objects', label: t('changes.objects'), show: () => objects(place, span.value, search.value) },
          { name: 'requests', label: t('changes.requests'), show: () => requests(place, span.value, search.value) },
        ],
        { label: t('page.changes') },
      ),
    );
  span.addEventListener('change', draw);
  search.addEventListener('change', draw);
  if (on) draw();
  return [
    heading(t('page.changes'), { about: t('about.changes') }),
    on
      ? [h('div', { class: 'filters' }, h('label', {}, icon('search'), search), span), views]
      : nothing('changes', t('changes.off')),
  ];
}

/** Entries of the audit log, the newest first. */
async function entries(place, name, span) {
  const seconds = SPANS.find(([one]) => one === span)[1];
  const after = seconds > 0 ? `&after=${Math.floor(Date.now() / 1000) - seconds}` : '';
  const found = [];
  let offset = '';
  do {
    const body = await get(`/audit/${name}?size=1000${after}${offset}`, { signal: place.signal });
    found.push(...body.data);
    offset = body.offset ? `&offset=${encodeURIComponent(body.offset)}` : '';
  } while (offset && found.length < MOST);
  return found.reverse();
}

async function objects(place, span, question) {
  const all = (await entries(place, 'objects', span)).map((entry) => ({ ...entry, record: parsed(entry.entity) }));
  // What a record was is what the entry before says of the same one.
  const before = new Map(
    all.map((entry, at) => [
      entry,
      all.slice(at + 1).find((other) => other.entity_key === entry.entity_key)?.record ?? null,
    ]),
  );
  const words = question.trim().toLowerCase();
  const found = all.filter((entry) =>
    `${entry.dao_name} ${entry.operation} ${entry.entity}`.toLowerCase().includes(words),
  );
  if (found.length === 0) return nothing('changes', t('changes.none'));
  return h(
    'ol',
    { class: 'history' },
    found.map((entry) => {
      const name = entry.record?.name ?? entry.record?.username ?? entry.record?.target ?? entry.entity_key;
      const gone = entry.operation === 'delete';
      return h(
        'li',
        {},
        fold(
          [
            h(
              'span',
              { class: `badge ${{ create: 'good', delete: 'bad' }[entry.operation] ?? 'warn'}` },
              t(`changes.${entry.operation}`),
            ),
            h('strong', {}, entry.dao_name),
            gone ? h('span', {}, name) : h('a', { href: href(entry.dao_name, entry.entity_key) }, name),
            h('span', { class: 'unset' }, entry.rbac_user_name ?? ''),
            time(entry.request_timestamp),
          ],
          () => differenceOf(entry.operation === 'create' ? null : before.get(entry), gone ? null : entry.record),
        ),
      );
    }),
  );
}

async function requests(place, span, question) {
  const words = question.trim().toLowerCase();
  const found = (await entries(place, 'requests', span))
    .filter((entry) => JSON.stringify(entry).toLowerCase().includes(words))
    .slice(0, 500);
  if (found.length === 0) return nothing('changes', t('changes.none'));
  const heads = ['when', 'who', 'client', 'request', 'status'];
  return h(
    'div',
    { class: 'scrolled', tabindex: '0', role: 'region', 'aria-label': t('changes.requests') },
    h(
      'table',
      {},
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          heads.map((head) => h('th', { scope: 'col' }, t(`changes.${head}`))),
        ),
      ),
      h(
        'tbody',
        {},
        found.map((entry) =>
          h(
            'tr',
            {},
            h('td', {}, time(entry.request_timestamp)),
            h('td', {}, entry.rbac_user_name ?? '–'),
            h('td', {}, entry.client_ip),
            h('td', {}, h('code', {}, `${entry.method} ${entry.path}`)),
            h('td', {}, h('span', { class: `badge ${entry.status >= 400 ? 'warn' : 'good'}` }, entry.status)),
          ),
        ),
      ),
    ),
  );
}

function parsed(text) {
  if (text === null || typeof text === 'object') return text;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
