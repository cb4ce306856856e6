/** Charts over the last minutes, as one picture each that is drawn anew as values come. */

import { h, replace, svg } from '../core/dom.js';
import { number } from '../core/texts.js';

const [WIDTH, HEIGHT, BOTTOM] = [600, 140, 18];

/** So many values fill a chart at least: fewer begin at its right end. */
const LEAST = 60;

/** A chart of several series; `show` gives it the values, the oldest first. */
export function chart(series, { label, unit = '' } = {}) {
  const lines = series.map((one) => ({
    ...one,
    area: svg('path', { class: `area ${one.kind}` }),
    line: svg('path', { class: `line ${one.kind}` }),
  }));
  const grid = svg('g', { class: 'grid' });
  const picture = svg(
    'svg',
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': label },
    grid,
    lines.map((one) => [one.area, one.line]),
  );
  const scale = h('div', { class: 'scale', 'aria-hidden': 'true' });
  const values = h('div', { class: 'legend' });
  const show = (points) => {
    const most = nice(Math.max(1, ...lines.flatMap((one) => points.map((point) => one.value(point) ?? 0))));
    const x = (at) => WIDTH - (points.length - 1 - at) * (WIDTH / (Math.max(LEAST, points.length) - 1));
    const y = (value) => HEIGHT - BOTTOM - (value / most) * (HEIGHT - BOTTOM - 8);
    for (const one of lines) {
      const path = points.map(
        (point, at) => `${at === 0 ? 'M' : 'L'}${x(at).toFixed(1)} ${y(one.value(point) ?? 0).toFixed(1)}`,
      );
      one.line.setAttribute('d', path.join(''));
      const closed =
        points.length > 1 && one.filled
          ? `${path.join('')}L${WIDTH} ${HEIGHT - BOTTOM}L${x(0).toFixed(1)} ${HEIGHT - BOTTOM}Z`
          : '';
      one.area.setAttribute('d', closed);
    }
    replace(
      grid,
      [0, 0.5, 1].map((part) => svg('path', { d: `M0 ${y(most * part)}H${WIDTH}` })),
    );
    replace(
      scale,
      [most, most / 2, 0].map((value) => h('span', {}, `${number(round(value))}${unit}`)),
    );
    const last = points.at(-1);
    const shown = (value) => (typeof value === 'number' ? `${number(round(value))}${unit}` : '–');
    replace(
      values,
      lines.map((one) =>
        h(
          'span',
          { class: one.kind },
          one.name,
          ' ',
          h('strong', {}, shown(last && one.value(last))),
        ),
      ),
    );
  };
  show([]);
  return { element: h('figure', { class: 'chart' }, values, h('div', { class: 'plot' }, picture, scale)), show };
}

/** A small line without anything around it. */
export function sparkline(values, kind = 'main') {
  const most = Math.max(1e-9, ...values);
  const points = values.map(
    (value, at) =>
      `${((at / Math.max(1, values.length - 1)) * 100).toFixed(1)},${(23 - (value / most) * 21).toFixed(1)}`,
  );
  return svg(
    'svg',
    { class: 'spark', viewBox: '0 0 100 24', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    svg('polyline', { class: `line ${kind}`, points: points.join(' ') }),
  );
}

/** A number with two digits that count. */
export function round(value) {
  if (value >= 100 || value === 0) return Math.round(value);
  return Number(value.toPrecision(2));
}

/** The next number up that people like to read. */
function nice(value) {
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 10].map((one) => one * size).find((one) => one >= value) ?? value;
}
