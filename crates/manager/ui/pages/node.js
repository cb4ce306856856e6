/** The node: its settings, its plugins, and the level of its log. */

import { get, send } from '../core/api.js';
import { h, replace } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { href } from '../core/router.js';
import { t } from '../core/texts.js';
import { categoryOf, pluginTitle } from '../entities/plugins.js';
import { code } from '../parts/code.js';
import { heading, panel } from '../parts/page.js';
import { tabs } from '../parts/tabs.js';
import { done, failed } from '../shell/toast.js';

const LEVELS = ['debug', 'info', 'notice', 'warn', 'error', 'crit', 'alert', 'emerg'];

/** Shows it. */
export async function show(place) {
  const [node, status] = await Promise.all(
    ['/', '/status'].map((path) => get(path, { global: true, signal: place.signal })),
  );
  return [
    heading(node.hostname, {
      trail: [[href('overview'), t('page.overview')]],
      about: `Bascule ${node.bascule_version ?? ''} · ${node.node_id}`,
      actions: [logLevel(node.configuration.log_level)],
    }),
    tabs(
      [
        { name: 'settings', label: t('node.settings'), show: () => settings(node.configuration) },
        { name: 'plugins', label: t('page.plugins'), show: () => plugins(node.plugins) },
        { name: 'status', label: t('node.status'), show: () => code(JSON.stringify(status, null, 2), 'GET /status') },
      ],
      { label: t('page.node'), chosen: place.query.get('view') },
    ),
  ];
}

/** The level in force, which can be changed while the node runs. */
function logLevel(current) {
  const select = h(
    'select',
    {
      'aria-label': t('node.level'),
      onchange: async () => {
        try {
          await send('PUT', `/debug/node/log-level/${select.value}`, undefined, { global: true });
          done(t('node.level.set', { level: select.value }));
        } catch (error) {
          failed(error);
        }
      },
    },
    LEVELS.map((level) => h('option', { value: level }, level)),
  );
  select.value = current;
  return h('label', { class: 'inline' }, t('node.level'), select);
}

function settings(configuration) {
  const search = h('input', {
    type: 'search',
    placeholder: t('list.search'),
    'aria-label': t('list.search'),
    spellcheck: 'false',
  });
  const list = h('dl', { class: 'record settings' });
  const draw = () => {
    const question = search.value.trim().toLowerCase();
    const text = (value) => (typeof value === 'string' ? value : JSON.stringify(value));
    const rows = Object.entries(configuration).map(([name, value]) => [name, text(value)]);
    replace(
      list,
      rows
        .filter(([name, value]) => `${name} ${value}`.toLowerCase().includes(question))
        .map(([name, value]) => h('div', {}, h('dt', {}, h('code', {}, name)), h('dd', {}, h('code', {}, value)))),
    );
  };
  search.addEventListener('input', draw);
  draw();
  return [h('div', { class: 'filters' }, h('label', {}, icon('search'), search)), panel(null, list)];
}

function plugins({ available_on_server: available, enabled_in_cluster: used }) {
  const rows = Object.entries(available).sort(([, a], [, b]) => (b.priority ?? 0) - (a.priority ?? 0));
  const heads = ['name', 'category', 'priority', 'version', 'used'];
  return [
    h('p', { class: 'count' }, t('node.order')),
    h(
      'div',
      { class: 'scrolled', tabindex: '0', role: 'region', 'aria-label': t('page.plugins') },
      h(
        'table',
        {},
        h(
          'thead',
          {},
          h(
            'tr',
            {},
            heads.map((name) => h('th', { scope: 'col' }, t(`node.${name}`))),
          ),
        ),
        h(
          'tbody',
          {},
          rows.map(([name, { priority, version }]) =>
            h(
              'tr',
              {},
              h('td', {}, h('strong', {}, pluginTitle(name)), ' ', h('code', {}, name)),
              h('td', {}, t(`category.${categoryOf(name)}`)),
              h('td', {}, priority),
              h('td', {}, version),
              h('td', {}, (used ?? []).includes(name) && h('span', { class: 'badge good' }, t('plugin.used'))),
            ),
          ),
        ),
      ),
    ),
  ];
}
