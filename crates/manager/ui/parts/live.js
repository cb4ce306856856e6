/** Traffic in short, for the first page. */

import { h } from '../core/dom.js';
import { href } from '../core/router.js';
import { KEPT, watch } from '../core/live.js';
import { t } from '../core/texts.js';
import { chart } from './chart.js';
import { linkButton } from './page.js';

/** Requests per second of the last minutes. */
export function liveSummary(place) {
  const points = [];
  const requests = chart(
    [{ name: t('live.requests'), kind: 'main', filled: true, value: (point) => point.requests?.per_second }],
    { label: t('live.requests') },
  );
  watch((point) => {
    points.push(point);
    if (points.length > KEPT) points.shift();
    requests.show(points);
  }, place.signal);
  return h('div', {}, requests.element, linkButton(href('live'), 'live', t('overview.live')));
}
