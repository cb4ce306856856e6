/** Plugins: the list, the catalogue from which one is chosen, and the form of one. */

import { get } from '../core/api.js';
import { h, replace } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { href } from '../core/router.js';
import { known, t } from '../core/texts.js';
import { keyOf } from '../entities/definitions.js';
import { categories, categoryOf, pluginTitle, scopeEntities, scopes } from '../entities/plugins.js';
import { heading } from '../parts/page.js';
import { foreign } from '../parts/value.js';
import { createPage } from './edit.js';

/** How the columns of plugins are shown. */
export function pluginColumns() {
  return {
    render: {
      name: (row) => h('a', { class: 'first', href: href('plugins', keyOf(row)) }, pluginTitle(row.name)),
      scope: (row) => scopeOf(row),
    },
  };
}

/** What a plugin is in force for. */
export function scopeOf(row, signal) {
  const bound = scopes.filter((name) => row[name]);
  if (bound.length === 0) return h('span', { class: 'badge' }, t('plugin.global'));
  return h(
    'span',
    { class: 'scopes' },
    bound.map((name) =>
      h('span', { class: 'scope' }, icon(scopeEntities[name]), foreign(scopeEntities[name], row[name], signal)),
    ),
  );
}

/** The catalogue. What the plugin is to be bound to stands in the query. */
export async function selectPage(place) {
  const { plugins } = await get('/', { global: true, signal: place.signal });
  const server = plugins.available_on_server;
  const names = Object.keys(server).sort();
  const used = new Set(plugins.enabled_in_cluster ?? []);
  const list = h('div', { class: 'catalogue' });
  const search = h('input', {
    type: 'search',
    placeholder: t('plugin.search'),
    'aria-label': t('plugin.search'),
    spellcheck: 'false',
    autofocus: true,
  });
  const query = new URLSearchParams(place.query);
  const address = (name) => {
    query.set('name', name);
    return `${href('plugins', 'create')}?${query}`;
  };
  const draw = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const text = (name) => `${name} ${pluginTitle(name)} ${aboutPlugin(name)} ${t(`category.${categoryOf(name)}`)}`;
    const found = names.filter((name) => words.every((word) => text(name).toLowerCase().includes(word)));
    const sections = categories.map((category) => [category, found.filter((name) => categoryOf(name) === category)]);
    replace(
      list,
      found.length === 0
        ? h('p', { class: 'nothing' }, t('nothing'))
        : sections
            .filter(([, own]) => own.length > 0)
            .map(([category, own]) =>
              h(
                'section',
                {},
                h('h2', {}, t(`category.${category}`)),
                h(
                  'ul',
                  { class: 'cards' },
                  own.map((name) =>
                    h(
                      'li',
                      {},
                      h(
                        'a',
                        { class: 'card', href: address(name), 'data-plugin': name },
                        h(
                          'strong',
                          {},
                          pluginTitle(name),
                          used.has(name) && h('span', { class: 'badge good' }, t('plugin.used')),
                        ),
                        h('span', {}, aboutPlugin(name)),
                        h('code', {}, name),
                      ),
                    ),
                  ),
                ),
              ),
            ),
    );
  };
  search.addEventListener('input', draw);
  search.addEventListener('keydown', (event) => {
    if (event.key === 'Enter') list.querySelector('a.card')?.click();
  });
  draw();
  return [
    heading(t('plugin.select'), { trail: [[href('plugins'), t('page.plugins')]], about: t('about.plugins') }),
    h('div', { class: 'filters' }, h('label', {}, icon('search'), search)),
    list,
  ];
}

/** What a plugin does, in a line. */
function aboutPlugin(name) {
  return known(`plugin.${name}`) ?? '';
}

/** The form of a new plugin. */
export async function newPluginPage(place) {
  const name = place.query.get('name');
  if (!name) return selectPage(place);
  const query = new URLSearchParams(place.query);
  query.delete('name');
  return createPage(place, 'plugins', {
    fixed: { name },
    title: t('plugin.new', { name: pluginTitle(name) }),
    trail: [
      [href('plugins'), t('page.plugins')],
      [`${href('plugins', 'select')}?${query}`, t('plugin.select')],
    ],
  });
}
