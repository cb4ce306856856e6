/** Two records side by side, as lines: what went, what came, and what is between. */

import { h } from '../core/dom.js';
import { isGuarded, soundsSecret } from '../core/schemas.js';
import { t } from '../core/texts.js';
import { withoutNulls } from '../entities/commands.js';
import { yaml } from '../entities/yaml.js';
import { COVER } from './value.js';

/** So many lines are compared; beyond that both are shown whole. */
const COMPARED = 1500;
/** Lines that stay, before and after those that change. */
const AROUND = 3;

/** The difference of two records of an entity, without their secrets; null stands for nothing. */
export function differenceOf(entity, before, after) {
  const text = (value, other) => {
    if (value === null || value === undefined) return [];
    const { created_at, updated_at, ...own } = withoutNulls(value);
    return yaml(covered(entity, own, other)).trimEnd().split('\n');
  };
  const lines = compared(text(before, before), text(after, before));
  const near = lines.map(
    ({ kind }, at) =>
      kind !== 'same' || lines.slice(Math.max(0, at - AROUND), at + AROUND + 1).some((other) => other.kind !== 'same'),
  );
  const shown = [];
  lines.forEach((line, at) => {
    if (near[at]) shown.push(line);
    else if (shown.at(-1)?.kind !== 'left') shown.push({ kind: 'left', text: '…' });
  });
  const signs = { gone: '-', new: '+', same: ' ', left: ' ' };
  return h(
    'div',
    { class: 'difference' },
    h(
      'code',
      {},
      shown.map(({ kind, text: words }) => h('div', { class: kind }, `${signs[kind]} ${words}`)),
    ),
  );
}

/** A value with its secrets covered; of one that is not as `before` had it, that much is said. */
function covered(entity, value, before) {
  if (Array.isArray(value)) return value.map((one, at) => covered(null, one, before?.[at]));
  if (value === null || typeof value !== 'object') return value;
  const hide = (name, one) => {
    if (typeof one !== 'string' || !(isGuarded(entity, name) || soundsSecret(name))) {
      return covered(null, one, before?.[name]);
    }
    const changed = before && before[name] !== one;
    return changed ? t('changes.secret', { dots: COVER }) : COVER;
  };
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, hide(name, one)]));
}

/** The longest common lines stay; all others went or came. */
function compared(a, b) {
  if (a.length * b.length > COMPARED * COMPARED) {
    return [...a.map((text) => ({ kind: 'gone', text })), ...b.map((text) => ({ kind: 'new', text }))];
  }
  const lengths = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      lengths[i][j] = a[i] === b[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  const lines = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      lines.push({ kind: 'same', text: a[i] });
      i += 1;
      j += 1;
    } else if (j >= b.length || (i < a.length && lengths[i + 1][j] >= lengths[i][j + 1])) {
      lines.push({ kind: 'gone', text: a[i] });
      i += 1;
    } else {
      lines.push({ kind: 'new', text: b[j] });
      j += 1;
    }
  }
  return lines;
}
