/** A new vault: first its kind, then its form. */

import { get } from '../core/api.js';
import { h } from '../core/dom.js';
import { href } from '../core/router.js';
import { known, t } from '../core/texts.js';
import { heading } from '../parts/page.js';
import { createPage } from './edit.js';

/** The kinds there are, or the form of one. */
export async function newVaultPage(place) {
  const trail = [[href('vaults'), t('page.vaults')]];
  const name = place.query.get('name');
  if (name)
    return createPage(place, 'vaults', { fixed: { name }, trail, title: `${t('new.vaults')}: ${titleOf(name)}` });
  const { configuration } = await get('/', { global: true, signal: place.signal });
  const kinds = Object.keys(configuration.loaded_vaults ?? { env: true }).sort();
  return [
    heading(t('new.vaults'), { trail, about: t('about.vaults') }),
    h(
      'ul',
      { class: 'cards' },
      kinds.map((kind) =>
        h(
          'li',
          {},
          h(
            'a',
            { class: 'card', href: `${href('vaults', 'create')}?name=${encodeURIComponent(kind)}` },
            h('strong', {}, titleOf(kind)),
            h('code', {}, kind),
          ),
        ),
      ),
    ),
  ];
}

function titleOf(kind) {
  return known(`vault.${kind}`) ?? kind;
}
