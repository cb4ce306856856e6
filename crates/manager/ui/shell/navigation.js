/** The list of pages at the side. */

import { h, replace } from '../core/dom.js';
import { on } from '../core/events.js';
import { icon } from '../core/icons.js';
import { bind } from '../core/keys.js';
import { go, href } from '../core/router.js';
import { t } from '../core/texts.js';

/** Pages by group, with the keys that lead to them. */
export const groups = [
  [
    '',
    [
      ['overview', 'g o'],
      ['live', 'g l'],
    ],
  ],
  [
    'gateway',
    [
      ['services', 'g s'],
      ['routes', 'g r'],
      ['consumers', 'g c'],
      ['consumer_groups', 'g G'],
      ['plugins', 'g p'],
      ['upstreams', 'g u'],
    ],
  ],
  [
    'secrets',
    [
      ['certificates', 'g e'],
      ['ca_certificates', 'g a'],
      ['snis', 'g n'],
      ['keys', 'g k'],
      ['key_sets', 'g K'],
      ['vaults', 'g v'],
    ],
  ],
  [
    'insight',
    [
      ['map', 'g m'],
      ['trace', 'g t'],
      ['expressions', 'g x'],
    ],
  ],
  [
    'operation',
    [
      ['changes', 'g h'],
      ['files', 'g f'],
      ['workspaces', 'g w'],
      ['access', 'g A'],
      ['node', 'g i'],
    ],
  ],
];

/** The navigation; the page that is shown is marked. */
export function navigation() {
  const element = h('nav', { id: 'navigation', 'aria-label': t('navigation') });
  const draw = (name) =>
    replace(
      element,
      groups.map(([group, pages]) =>
        h(
          'section',
          {},
          group && h('h2', {}, t(`group.${group}`)),
          h(
            'ul',
            {},
            pages.map(([page, keys]) =>
              h(
                'li',
                {},
                h(
                  'a',
                  { href: href(page), 'aria-current': page === name ? 'page' : null, title: keys, 'data-page': page },
                  icon(page),
                  h('span', {}, t(`page.${page}`)),
                ),
              ),
            ),
          ),
        ),
      ),
    );
  on('page', ({ name }) => draw(name));
  for (const [, pages] of groups) {
    for (const [page, keys] of pages) bind(keys, t(`page.${page}`), () => go(href(page)));
  }
  return element;
}
