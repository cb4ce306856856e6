/** Who has changed what, from the audit log: each record as it was and as it became. */

import { h, replace } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { hasAudit } from '../core/node.js';
import { href } from '../core/router.js';
import { t } from '../core/texts.js';
import { newest, writtenTo } from '../entities/audit.js';
import { entities, titleOf } from '../entities/definitions.js';
import { kindOf } from '../entities/labels.js';
import { differenceOf } from '../parts/difference.js';
import { fold } from '../parts/fold.js';
import { heading, nothing } from '../parts/page.js';
import { rows } from '../parts/rows.js';
import { tabs } from '../parts/tabs.js';
import { time } from '../parts/value.js';

/** Spans of time, in seconds. */
const SPANS = [
  ['hour', 3600],
  ['day', 86400],
  ['week', 604800],
  ['all', 0],
];
/** How many entries are shown at once. */
const SHOWN = 100;

/** Shows it. */
export async function show(place) {
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
  let view = place.query.get('view');
  const draw = () => {
    const seconds = new Map(SPANS).get(span.value);
    const words = search.value.trim().toLowerCase();
    const shown = (name, list) => async () => {
      view = name;
      return list(await newest(name, seconds, place.signal), words);
    };
    const both = [
      { name: 'objects', label: t('changes.objects'), show: shown('objects', objects) },
      { name: 'requests', label: t('changes.requests'), show: shown('requests', requests) },
    ];
    replace(views, tabs(both, { label: t('page.changes'), chosen: view }));
  };
  span.addEventListener('change', draw);
  search.addEventListener('change', draw);
  if (hasAudit()) draw();
  return [
    heading(t('page.changes'), { about: t('about.changes') }),
    hasAudit()
      ? [h('div', { class: 'filters' }, h('label', {}, icon('search'), search), span), views]
      : nothing('changes', t('changes.off')),
  ];
}

/** What was written to one record, for its page. */
export async function historyOf(record, signal) {
  return objects(await writtenTo(record.id, signal), '');
}

function objects(entries, words) {
  const all = entries.map((entry) => ({ ...entry, record: parsed(entry.entity) }));
  // What a record was is what the entry before says of the same one.
  const [before, last] = [new Map(), new Map()];
  for (const entry of all.toReversed()) {
    before.set(entry, last.get(entry.entity_key) ?? null);
    last.set(entry.entity_key, entry.record);
  }
  const found = all.filter((entry) =>
    `${entry.dao_name} ${entry.operation} ${entry.rbac_user_name} ${entry.entity}`.toLowerCase().includes(words),
  );
  if (found.length === 0) return nothing('changes', t('changes.none'));
  const list = h('ol', { class: 'history' });
  return some(found, (shown) => {
    list.append(...shown.map((entry) => h('li', {}, change(entry, before.get(entry)))));
    return list;
  });
}

/** A line of what was written, with the difference behind it. */
function change(entry, before) {
  const name = (entry.record && titleOf(entry.record, entry.dao_name)) || entry.entity_key;
  const [gone, address] = [entry.operation === 'delete', addressOf(entry)];
  const kind = { create: 'good', delete: 'bad' }[entry.operation] ?? 'warn';
  const line = [
    h('span', { class: `badge ${kind}` }, t(`changes.${entry.operation}`)),
    h('strong', { title: entry.dao_name }, kindOf(entry.dao_name)),
    gone || !address ? h('span', {}, name) : h('a', { href: address }, name),
    h('span', { class: 'unset' }, entry.rbac_user_name ?? ''),
    time(entry.request_timestamp),
  ];
  const was = entry.operation === 'create' ? null : before;
  return fold(line, () => differenceOf(entry.dao_name, was, gone ? null : entry.record));
}

/** The page where a record is to be seen: its own, or that of what it belongs to. */
function addressOf({ dao_name: entity, entity_key: key, record }) {
  if (entities[entity] && !entities[entity].under) return href(entity, key);
  const owner = [
    ['consumers', record?.consumer],
    ['upstreams', record?.upstream],
    ['rbac_roles', record?.role],
  ].find(([, one]) => one?.id);
  return owner ? href(owner[0], owner[1].id) : null;
}

function requests(entries, words) {
  const found = entries.filter((entry) => JSON.stringify(entry).toLowerCase().includes(words));
  if (found.length === 0) return nothing('changes', t('changes.none'));
  const heads = ['when', 'who', 'client', 'request', 'status'].map((head) => t(`changes.${head}`));
  const body = h('div', {});
  const lines = [];
  return some(found, (shown) => {
    lines.push(
      ...shown.map((entry) => [
        time(entry.request_timestamp),
        entry.rbac_user_name ?? '–',
        entry.client_ip,
        h('code', {}, `${entry.method} ${entry.path}`),
        h('span', { class: `badge ${entry.status >= 400 ? 'warn' : 'good'}` }, entry.status),
      ]),
    );
    return replace(body, rows(t('changes.requests'), heads, lines));
  });
}

/** A list that is as long as somebody wants it; `add` takes what comes next into the element that it gives. */
function some(found, add) {
  let count = SHOWN;
  const body = add(found.slice(0, count));
  const more = h('button', {}, t('changes.more'));
  more.hidden = found.length <= count;
  more.addEventListener('click', () => {
    add(found.slice(count, count + SHOWN));
    count += SHOWN;
    more.hidden = found.length <= count;
  });
  return [body, h('div', { class: 'buttons' }, more)];
}

function parsed(text) {
  if (text === null || typeof text === 'object') return text;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
