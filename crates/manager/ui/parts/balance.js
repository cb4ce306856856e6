/**
 * The picture of an upstream: its targets hang on a beam, each with its share. The beam leans to the side that carries
 * more; what is out of order is drawn as that, and carries nothing.
 */

import { h, replace, svg } from '../core/dom.js';
import { t } from '../core/texts.js';

const [WIDTH, HEIGHT] = [900, 230];
/** How many targets have a place of their own in the picture. */
const DRAWN = 24;
/** How far the beam leans at most, in degrees. */
const LEAN = 7;

/** A picture; `show` draws targets with their health and what is known of their traffic. */
export function balance() {
  const picture = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', class: 'balance' });
  const caption = h('figcaption', {});
  const element = h('figure', {}, picture, caption);
  const show = (targets, upstream) => {
    const shares = sharesOf(targets);
    const drawn = targets.slice(0, DRAWN);
    const step = (WIDTH - 120) / Math.max(1, drawn.length);
    const x = (at) => 60 + step * (at + 0.5);
    const moment = drawn.reduce(
      (sum, target, at) => sum + shares.get(target.id) * ((x(at) - WIDTH / 2) / (WIDTH / 2)),
      0,
    );
    const angle = Math.max(-1, Math.min(1, moment)) * LEAN;
    const slope = Math.tan((angle * Math.PI) / 180);
    const y = (at) => 62 + (x(at) - WIDTH / 2) * slope;
    replace(
      picture,
      svg('title', {}, t('balance.of', { name: upstream.name, count: targets.length })),
      svg('path', { class: 'rope', d: `M${WIDTH / 2} 0V62M${WIDTH / 2 - 70} 1H${WIDTH / 2 + 70}` }),
      svg('path', {
        class: 'beam',
        d: `M48 ${62 + (48 - WIDTH / 2) * slope}L${WIDTH - 48} ${62 + (WIDTH / 2 - 48) * slope}`,
      }),
      svg('circle', { class: 'pivot', cx: WIDTH / 2, cy: 62, r: 7 }),
      svg('text', { class: 'label strong', x: 48, y: 22 }, upstream.algorithm),
      drawn.map((target, at) => weight(target, shares.get(target.id), x(at), y(at), step)),
    );
    replace(caption, targets.length > DRAWN ? t('balance.more', { count: targets.length - DRAWN }) : '');
  };
  return { element, show };
}

/** One target on its line. */
function weight(target, share, x, y, step) {
  const out = target.weight === 0;
  const health = target.state?.health;
  const sick = ['UNHEALTHY', 'DNS_ERROR'].includes(health);
  const size = out || sick ? 11 : 12 + Math.sqrt(share) * 26;
  const kind = sick ? 'bad' : out ? 'out' : health === 'HEALTHY' ? 'good' : 'main';
  const narrow = step < 110;
  const busy = target.live?.per_second > 0;
  return svg(
    'g',
    { class: `hung ${kind}` },
    svg('title', {}, `${target.target}: ${t(`health.${health ?? 'HEALTHCHECKS_OFF'}`)}, ${percent(share)}`),
    svg('path', { class: 'line', d: `M${x} ${y}V${y + 44}` }),
    svg('circle', { cx: x, cy: y + 44 + size, r: size, class: busy ? 'busy' : null }),
    !narrow && size > 14 && svg('text', { class: 'label inside', x, y: y + 44 + size + 4 }, percent(share)),
    step >= 60 &&
      svg(
        'text',
        { class: 'label', x, y: y + 44 + size * 2 + 18 },
        narrow ? String(target.target).slice(0, 9) : target.target,
      ),
  );
}

/** The part of the requests that each target gets: measured where that is known, else what the weights say. */
function sharesOf(targets) {
  const usable = (target) => target.weight > 0 && !['UNHEALTHY', 'DNS_ERROR'].includes(target.state?.health);
  const measured = targets.some((target) => target.live?.per_second > 0);
  const carried = (target) => {
    if (measured) return target.live?.per_second ?? 0;
    return usable(target) ? target.weight : 0;
  };
  const sum = targets.reduce((all, target) => all + carried(target), 0);
  return new Map(targets.map((target) => [target.id, sum > 0 ? carried(target) / sum : 0]));
}

function percent(share) {
  return `${Math.round(share * 100)}%`;
}
