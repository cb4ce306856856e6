/** The forms of a target, which is reached by its upstream alone. */

import { href } from '../core/router.js';
import { t } from '../core/texts.js';
import { one } from '../entities/records.js';
import { createPage, editPage } from './edit.js';

/** The form of a new target. */
export async function newTargetPage(place) {
  const { upstream, back, trail } = await surroundings(place);
  return createPage(place, 'targets', {
    path: `upstreams/${upstream.id}/targets`,
    parent: upstream,
    trail,
    back,
    without: ['upstream'],
  });
}

/** The form that changes a target. */
export async function editTargetPage(place) {
  const { upstream, back, trail } = await surroundings(place);
  return editPage(place, 'targets', {
    path: `upstreams/${upstream.id}/targets`,
    parent: upstream,
    trail,
    back,
    without: ['upstream'],
  });
}

async function surroundings(place) {
  const upstream = await one('upstreams', place.query.get('upstream'), { signal: place.signal });
  const back = href('upstreams', upstream.id);
  return {
    upstream,
    back,
    trail: [
      [href('upstreams'), t('page.upstreams')],
      [back, upstream.name],
    ],
  };
}
