/** What is known of the health of targets. */

import { h } from '../core/dom.js';
import { t } from '../core/texts.js';

/** What is known of a target's health. */
export function healthBadge(state) {
  const health = state?.health ?? 'HEALTHCHECKS_OFF';
  const kind = { HEALTHY: 'good', UNHEALTHY: 'bad', DNS_ERROR: 'bad' }[health] ?? '';
  const words = t(`health.${health}`);
  const addresses = (state?.data?.addresses ?? []).map((one) => `${one.ip}:${one.port} ${one.health}`).join('\n');
  return h('span', { class: `badge ${kind}`, title: addresses }, words);
}
