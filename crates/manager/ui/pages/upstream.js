/** An upstream: its targets on the balance, with their health and their share of what comes. */

import { get, send } from '../core/api.js';
import { h, replace } from '../core/dom.js';
import { on } from '../core/events.js';
import { icon } from '../core/icons.js';
import { isReadOnly } from '../core/node.js';
import { watch } from '../core/live.js';
import { keep, kept } from '../core/preferences.js';
import { href } from '../core/router.js';
import { number, t } from '../core/texts.js';
import { balance } from '../parts/balance.js';
import { healthBadge } from '../parts/health.js';
import { removeButton } from '../parts/rows.js';
import { createButton, nothing, panel } from '../parts/page.js';
import { all } from '../entities/records.js';
import { dialog } from '../shell/dialog.js';
import { done, failed } from '../shell/toast.js';
import { detailPage } from './detail.js';
import { removed } from './remove.js';

/** Between two looks at the health of targets, in milliseconds. */
const PERIOD = 2000;
/** How many targets have a row; beyond that they are searched for. */
const SHOWN = 200;

/** What targets weigh unless somebody says otherwise, and what the weight of one that is taken out is kept under. */
const USUAL = 100;
const keptAs = (target) => `weight.${target.id}`;

/** The page of an upstream. */
export function upstreamPage(place) {
  return detailPage(place, 'upstreams', {
    views: (upstream) => [
      { name: 'targets', label: t('page.targets'), first: true, show: () => targetsView(place, upstream) },
    ],
  });
}

async function targetsView(place, upstream) {
  const path = `upstreams/${upstream.id}`;
  const create = `${href('targets', 'create')}?upstream=${upstream.id}`;
  const picture = balance();
  const body = h('div', {});
  const search = h('input', {
    type: 'search',
    placeholder: t('list.search'),
    'aria-label': t('list.search'),
    hidden: true,
  });
  let live = null;
  let drawn = '';
  let many = false;
  const draw = async () => {
    const [targets, health] = await Promise.all([
      all(`${path}/targets`, { signal: place.signal }),
      get(`/${path}/health?size=1000`, { signal: place.signal }).then(
        (body) => body.data ?? [],
        () => [],
      ),
    ]);
    const states = new Map(health.map((one) => [one.target, one]));
    const busy = new Map((live?.targets ?? []).map((one) => [one.target, one]));
    const rows = targets.map((target) => ({
      ...target,
      state: states.get(target.target),
      live: busy.get(target.target),
    }));
    many = rows.length > SHOWN;
    picture.show(rows, upstream);
    search.hidden = rows.length < 20;
    const found = rows.filter((row) => row.target.includes(search.value.trim())).slice(0, SHOWN);
    // Rows in which somebody is typing stay as they are until something about them changes.
    const content = JSON.stringify(found);
    if (content === drawn || (body.contains(document.activeElement) && document.activeElement.tagName === 'INPUT'))
      return;
    drawn = content;
    replace(
      body,
      rows.length === 0 ? nothing('targets', t('empty.targets')) : targetTable(found, upstream, path, draw),
    );
  };
  const refresh = () => draw().catch((error) => place.signal.aborted || failed(error));
  await draw();
  // Of many targets there is much to read each time.
  const timer = setInterval(refresh, many ? PERIOD * 5 : PERIOD);
  place.signal.addEventListener('abort', () => clearInterval(timer));
  on('written', refresh, place.signal);
  search.addEventListener('input', refresh);
  watch((point) => {
    live = point.upstreams?.find((one) => one.id === upstream.id) ?? live;
  }, place.signal, { upstream: upstream.id });
  return [
    h('div', { class: 'bar' }, search, createButton(create, t('new.targets'), 'primary')),
    panel(null, picture.element),
    h('div', { class: 'below' }, body),
  ];
}

function targetTable(rows, upstream, path, draw) {
  const act = async (method, tail, content, words) => {
    let isDone = true;
    try {
      await send(method, `/${path}/targets/${tail}`, content);
      done(words);
    } catch (error) {
      failed(error);
      isDone = false;
    }
    draw();
    return isDone;
  };
  const head = ['target', 'weight', 'health', 'requests', 'connections', 'latency'];
  return h(
    'div',
    { class: 'scrolled', tabindex: '0', role: 'region', 'aria-label': t('page.targets') },
    h(
      'table',
      {},
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          head.map((name, at) => h('th', { scope: 'col', class: at > 2 ? 'number' : null }, t(`target.${name}`))),
          h('th', { class: 'actions' }, h('span', { class: 'offscreen' }, t('actions'))),
        ),
      ),
      h(
        'tbody',
        {},
        rows.map((row) =>
          h(
            'tr',
            {},
            h('td', {}, h('strong', {}, row.target)),
            h('td', {}, weightField(row, act)),
            h('td', {}, healthBadge(row.state)),
            h(
              'td',
              { class: 'number' },
              row.live ? `${number(Math.round((row.live.per_second ?? 0) * 10) / 10)}/s` : '–',
            ),
            h('td', { class: 'number' }, row.live?.connections ?? '–'),
            h(
              'td',
              { class: 'number' },
              row.live?.latency === undefined || row.live?.latency === null
                ? '–'
                : `${number(Math.round(row.live.latency))} ms`,
            ),
            h(
              'td',
              { class: 'actions' },
              !isReadOnly() && weightButton(row, act),
              ['HEALTHY', 'UNHEALTHY'].includes(row.state?.health) && healthButton(row, act),
              !isReadOnly() && [
                h(
                  'a',
                  {
                    href: href('targets', row.id, 'edit') + `?upstream=${upstream.id}`,
                    'aria-label': t('edit.named', { name: row.target }),
                  },
                  icon('edit'),
                ),
                removeButton(row.target, async () => {
                  await removed('targets', row, `${path}/targets`);
                  draw();
                }),
              ],
            ),
          ),
        ),
      ),
    ),
  );
}

/** Takes a target out of the balance, or puts it back with the weight that it had. */
function weightButton(row, act) {
  const isIn = row.weight > 0;
  const [words, label] = isIn ? ['target.out', 'target.drain'] : ['target.in', 'target.back'];
  const change = async () => {
    const weight = isIn ? 0 : (Number(kept(keptAs(row))) || (await askedWeight(row)));
    if (weight === undefined) return;
    const isDone = await act('PATCH', row.id, { weight }, t(words, { name: row.target }));
    if (isDone) keep(keptAs(row), isIn ? String(row.weight) : null);
  };
  return h('button', { onclick: change }, t(label));
}

/** Asks for a weight: that of before was taken away where this browser could not see it. */
function askedWeight(row) {
  const label = t('target.weight.of', { name: row.target });
  const bounds = { type: 'number', min: 1, max: 65535, required: true };
  const input = h('input', { ...bounds, value: USUAL, autofocus: true, 'aria-label': label });
  return dialog(label, (close) =>
    h(
      'form',
      { method: 'dialog', onsubmit: () => close(Number(input.value)) },
      h('p', {}, t('target.weight.unknown')),
      input,
      h('footer', {}, h('button', { class: 'primary' }, t('target.back'))),
    ),
  );
}

function healthButton(row, act) {
  const mark = row.state.health === 'HEALTHY' ? 'unhealthy' : 'healthy';
  return h(
    'button',
    { onclick: () => act('PUT', `${row.id}/${mark}`, undefined, t(`target.marked.${mark}`, { name: row.target })) },
    t(`target.mark.${mark}`),
  );
}

function weightField(row, act) {
  let held = row.weight;
  const change = async () => {
    const weight = Number(input.value);
    // An empty field is no weight, least of all the one that takes a target out.
    const isWeight = input.value !== '' && input.checkValidity();
    if (input.value !== '' && !isWeight) failed(new Error(input.validationMessage));
    const isDone = isWeight && (await act('PATCH', row.id, { weight }, t('target.weighs', { name: row.target, weight })));
    if (isDone) held = weight;
    else input.value = held;
  };
  const input = h('input', {
    type: 'number',
    class: 'weight',
    min: 0,
    max: 65535,
    disabled: isReadOnly(),
    value: row.weight,
    'aria-label': t('target.weight.of', { name: row.target }),
    onchange: change,
  });
  return input;
}
