/** The configuration as a picture: routes lead to services, services to upstreams, upstreams to targets. */

import { debounced, h, replace, svg } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { go, href } from '../core/router.js';
import { number, t } from '../core/texts.js';
import { titleOf } from '../entities/definitions.js';
import { pluginTitle } from '../entities/plugins.js';
import { all, matching } from '../entities/records.js';
import { createButton, heading, nothing } from '../parts/page.js';

/** How many services are drawn at once; beyond that they are searched for. */
const DRAWN = 40;
/** How many routes of a service, and targets of an upstream. */
const EACH = 12;
const [COLUMN, GAP, ROW, BOX] = [232, 66, 44, 34];

/** Shows it. */
export async function show(place) {
  const options = { signal: place.signal };
  const [services, routes, upstreams, plugins] = await Promise.all(
    ['services', 'routes', 'upstreams', 'plugins'].map((path) => all(path, options)),
  );
  const search = h('input', {
    type: 'search',
    placeholder: t('list.search'),
    'aria-label': t('list.search'),
    spellcheck: 'false',
  });
  const note = h('p', { class: 'count' });
  const body = h('div', { class: 'scrolled map', tabindex: '0', role: 'region', 'aria-label': t('page.map') });
  const draw = async () => {
    const question = search.value.trim();
    const named = new Set(matching(routes, question).map((route) => route.service?.id));
    const found = services.filter((service) => named.has(service.id) || matching([service], question).length > 0);
    const shown = found.slice(0, DRAWN);
    replace(note, found.length > DRAWN ? t('map.limited', { shown: DRAWN, count: number(found.length) }) : '');
    const graph = await gather({ services: shown, routes, upstreams, plugins }, options);
    if (question !== search.value.trim()) return;
    const loose = question ? matching(routes, question) : routes;
    replace(
      body,
      shown.length === 0 && loose.every((route) => route.service)
        ? h('p', { class: 'nothing' }, t('nothing'))
        : picture(graph, loose.filter((route) => !route.service).slice(0, DRAWN)),
    );
  };
  search.addEventListener('input', debounced(150, draw));
  await draw();
  const global = plugins.filter(
    (plugin) => !plugin.service && !plugin.route && !plugin.consumer && !plugin.consumer_group,
  );
  return [
    heading(t('page.map'), { about: t('about.map') }),
    services.length === 0 && routes.length === 0
      ? nothing(
          'map',
          t('empty.services'),
          createButton(href('services', 'create'), t('new.services'), 'primary'),
        )
      : [
          h('div', { class: 'filters' }, h('label', {}, icon('search'), search)),
          note,
          global.length > 0 &&
            h(
              'p',
              { class: 'count' },
              t('map.global'),
              ' ',
              h(
                'span',
                { class: 'tokens' },
                global.map((plugin) =>
                  h('a', { class: 'token', href: href('plugins', plugin.id) }, pluginTitle(plugin.name)),
                ),
              ),
            ),
          body,
        ],
  ];
}

/** What hangs together: each service with its routes, its upstream and the targets of that. */
async function gather({ services, routes, upstreams, plugins }, options) {
  const byName = new Map(upstreams.map((upstream) => [upstream.name, upstream]));
  const used = [...new Set(services.map((service) => byName.get(service.host)).filter(Boolean))];
  const targets = new Map(
    await Promise.all(
      used.map(async (upstream) => [
        upstream.id,
        await all(`upstreams/${upstream.id}/targets`, options).catch(() => []),
      ]),
    ),
  );
  const of = (field, id) => plugins.filter((plugin) => plugin[field]?.id === id);
  const bound = new Map();
  for (const route of routes) {
    const own = bound.get(route.service?.id) ?? [];
    bound.set(route.service?.id, own);
    own.push(route);
  }
  return services.map((service) => ({
    service,
    plugins: of('service', service.id),
    routes: (bound.get(service.id) ?? []).map((route) => ({ route, plugins: of('route', route.id) })),
    upstream: byName.get(service.host) ?? null,
    targets: targets.get(byName.get(service.host)?.id) ?? [],
  }));
}

function picture(graph, loose) {
  const [boxes, lines, more] = [[], [], []];
  const x = (column) => column * (COLUMN + GAP);
  const drawnUpstreams = new Map();
  let y = 34;
  const box = (column, at, words, entity, id, plugins, kind = '', detail = '') => {
    boxes.push({ x: x(column), y: at, words, entity, id, plugins, kind, detail });
  };
  const line = (column, from, to, group) => lines.push({ column, from: from + BOX / 2, to: to + BOX / 2, group });
  for (const { service, plugins, upstream, ...all } of graph) {
    const [routes, targets] = [all.routes.slice(0, EACH), all.targets.slice(0, EACH)];
    const seen = drawnUpstreams.get(upstream?.id);
    const rows = Math.max(1, routes.length, seen === undefined ? targets.length : 0);
    const middle = y + ((rows - 1) * ROW) / 2;
    box(
      1,
      middle,
      titleOf(service),
      'services',
      service.id,
      plugins,
      service.enabled === false ? 'off' : '',
      `${service.protocol}://${service.host}:${service.port}`,
    );
    routes.forEach(({ route, plugins: own }, at) => {
      const top = y + at * ROW + ((rows - routes.length) * ROW) / 2;
      box(0, top, titleOf(route), 'routes', route.id, own, '', matchOf(route));
      line(0, top, middle, service.id);
    });
    if (upstream && seen !== undefined) line(1, middle, seen, service.id);
    else if (upstream) {
      drawnUpstreams.set(upstream.id, middle);
      box(2, middle, upstream.name, 'upstreams', upstream.id, [], '', upstream.algorithm);
      line(1, middle, middle, service.id);
      targets.forEach((target, at) => {
        const top = y + at * ROW + ((rows - targets.length) * ROW) / 2;
        box(
          3,
          top,
          target.target,
          'upstreams',
          upstream.id,
          [],
          target.weight === 0 ? 'off' : 'plain',
          t('map.weight', { weight: target.weight }),
        );
        line(2, middle, top, service.id);
      });
    } else {
      box(2, middle, service.host, null, null, [], 'plain', t('map.host'));
      line(1, middle, middle, service.id);
    }
    const hidden = [all.routes.length - routes.length, 0, 0, all.targets.length - targets.length];
    hidden.forEach((count, column) => {
      if (count > 0) more.push({ x: x(column), y: y + rows * ROW + 6, count });
    });
    y += rows * ROW + (hidden.some((count) => count > 0) ? 36 : 18);
  }
  loose.forEach((route) => {
    box(0, y, titleOf(route), 'routes', route.id, [], 'off', matchOf(route));
    y += ROW;
  });
  const heads = ['routes', 'services', 'upstreams', 'targets'];
  const width = x(3) + COLUMN;
  return svg(
    'svg',
    { class: 'graph', viewBox: `0 0 ${width} ${y}`, width, height: y, role: 'group', 'aria-label': t('page.map') },
    heads.map((head, column) => svg('text', { class: 'head', x: x(column), y: 16 }, t(`page.${head}`))),
    lines.map(({ column, from, to }) =>
      svg('path', { class: 'edge', d: curve(x(column) + COLUMN, from, x(column + 1), to) }),
    ),
    boxes.map(drawnBox),
    more.map(({ x: left, y: top, count }) =>
      svg('text', { class: 'head', x: left, y: top }, t('map.more', { count: number(count) })),
    ),
  );
}

function curve(x1, y1, x2, y2) {
  const middle = (x1 + x2) / 2;
  return `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`;
}

function drawnBox({ x, y, words, entity, id, plugins, kind, detail }) {
  const marked = plugins.length > 0;
  const room = marked ? 22 : 28;
  const content = [
    svg('title', {}, [words, detail, ...plugins.map((plugin) => pluginTitle(plugin.name))].filter(Boolean).join('\n')),
    svg('rect', { x, y, width: COLUMN, height: BOX, rx: 7 }),
    svg('text', { x: x + 12, y: y + 15, class: 'name' }, cut(words, room)),
    svg('text', { x: x + 12, y: y + 28, class: 'detail' }, cut(detail, room + 6)),
    marked && svg('circle', { class: 'plugins', cx: x + COLUMN - 18, cy: y + BOX / 2, r: 10 }),
    marked && svg('text', { class: 'count', x: x + COLUMN - 18, y: y + BOX / 2 + 4 }, plugins.length),
  ];
  if (!entity) return svg('g', { class: `box ${kind}` }, content);
  const address = href(entity, id);
  return svg(
    'a',
    {
      class: `box ${kind}`,
      href: address,
      onclick: (event) => {
        // Links of pictures are none to the browser's history.
        if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        go(address);
      },
    },
    content,
  );
}

function matchOf(route) {
  return route.expression ?? [...(route.methods ?? []), ...(route.hosts ?? []), ...(route.paths ?? [])].join(' ');
}

function cut(text, length) {
  const whole = String(text ?? '');
  return whole.length > length ? `${whole.slice(0, length - 1)}…` : whole;
}
