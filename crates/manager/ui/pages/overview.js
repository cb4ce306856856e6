/** The first page: how the node is, what it has, and what is wrong with it. */

import { get } from '../core/api.js';
import { api } from '../core/config.js';
import { h } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { isReadOnly } from '../core/node.js';
import { href } from '../core/router.js';
import { number, t } from '../core/texts.js';
import { figure, heading, linkButton, nothing, panel } from '../parts/page.js';
import { liveSummary } from '../parts/live.js';

/** Entities that are counted, with their pages. */
const COUNTED = ['services', 'routes', 'consumers', 'plugins', 'upstreams', 'certificates'];

/** Shows it. */
export async function show(place) {
  const options = { signal: place.signal };
  const [node, status, counts] = await Promise.all([
    get('/', { ...options, global: true }),
    get('/status', { ...options, global: true }),
    get(`/workspaces/${encodeURIComponent(place.workspace)}/meta`, { ...options, global: true }).catch(() => null),
  ]);
  const { configuration } = node;
  const count = (entity) => counts?.counts?.[entity];
  const empty = counts && COUNTED.every((entity) => !count(entity));
  return [
    heading(t('page.overview'), { about: t('about.overview', { host: node.hostname }) }),
    problems(status),
    empty && (isReadOnly() ? firstFile() : firstSteps()),
    h(
      'div',
      { class: 'figures' },
      COUNTED.map((entity) =>
        figure(count(entity) === undefined ? '–' : number(count(entity)), t(`page.${entity}`), href(entity)),
      ),
    ),
    h(
      'div',
      { class: 'panels' },
      h(
        'div',
        {},
        panel(t('overview.traffic'), liveSummary(place)),
        panel(
          t('overview.listeners'),
          h(
            'ul',
            { class: 'plain' },
            ['proxy', 'stream', 'admin', 'admin_gui', 'status'].flatMap((name) => listeners(configuration, name)),
          ),
        ),
      ),
      panel(
        t('overview.node'),
        facts([
          ['overview.version', `Bascule ${node.bascule_version ?? ''}`],
          ['overview.compatible', `Kong Gateway ${node.version}`],
          ['overview.host', node.hostname],
          ['overview.id', h('code', {}, node.node_id)],
          ['overview.database', configuration.bascule_database ?? configuration.database],
          ['overview.database.state', status.database ? badge(status.database.reachable) : null],
          ['overview.router', configuration.router_flavor],
          ['overview.plugins', `${Object.keys(node.plugins.available_on_server).length}`],
          ['overview.api', h('code', {}, api)],
        ]),
        linkButton(href('node'), 'node', t('overview.settings')),
      ),
    ),
  ];
}

function facts(rows) {
  return h(
    'dl',
    { class: 'record' },
    rows
      .filter(([, value]) => value !== null && value !== undefined)
      .map(([label, value]) => h('div', {}, h('dt', {}, t(label)), h('dd', {}, value))),
  );
}

function badge(good) {
  return h(
    'span',
    { class: good ? 'badge good' : 'badge bad' },
    t(good ? 'overview.reachable' : 'overview.unreachable'),
  );
}

function listeners(configuration, name) {
  const all = configuration[`${name}_listeners`];
  return (Array.isArray(all) ? all : []).map((one) =>
    h(
      'li',
      {},
      h('span', { class: 'label' }, t(`listener.${name}`)),
      ' ',
      h('code', {}, `${one.ip}:${one.port}`),
      one.ssl && h('span', { class: 'badge' }, 'TLS'),
      one.http2 && h('span', { class: 'badge' }, 'HTTP/2'),
    ),
  );
}

/** What the node says is not in force as it stands. */
function problems(status) {
  const degraded = status.degraded ?? [];
  if (degraded.length === 0) return null;
  return h(
    'section',
    { class: 'panel bad', role: 'alert' },
    h('h2', {}, icon('warning'), t('overview.degraded', { count: degraded.length })),
    h(
      'ul',
      { class: 'plain' },
      degraded.map((one) =>
        h(
          'li',
          {},
          one.entity && one.id
            ? h('a', { href: href(one.entity, one.id) }, `${one.entity} ${one.name ?? one.id}`)
            : null,
          ' ',
          one.reason ?? one.message ?? JSON.stringify(one),
        ),
      ),
    ),
  );
}

/** The same where the configuration is a file. */
function firstFile() {
  return nothing('files', t('readonly.words'), linkButton(href('files'), 'files', t('readonly.import'), 'primary'));
}

/** The way from nothing to a first request. */
function firstSteps() {
  const steps = [
    ['services', 'create'],
    ['routes', 'create'],
    ['plugins', 'select'],
  ];
  return h(
    'section',
    { class: 'panel steps' },
    h('h2', {}, t('overview.start')),
    h(
      'ol',
      {},
      steps.map(([entity, action]) =>
        h(
          'li',
          {},
          h(
            'a',
            { href: href(entity, action) },
            icon(entity),
            h('strong', {}, t(`new.${entity}`)),
            h('span', {}, t(`about.${entity}`)),
          ),
        ),
      ),
    ),
  );
}
