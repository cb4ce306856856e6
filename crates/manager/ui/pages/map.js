/** The configuration as a picture: routes lead to services, services to upstreams, upstreams to targets. */

import { debounced, h, replace, svg } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { go, href } from '../core/router.js';
import { t } from '../core/texts.js';
import { titleOf } from '../entities/definitions.js';
import { pluginTitle } from '../entities/plugins.js';
import { all, one, page } from '../entities/records.js';
import { createButton, heading, nothing } from '../parts/page.js';

/** How many services are drawn at once; beyond that they are searched for. */
const DRAWN = 40;
/** How many routes of a service, and targets of an upstream, are drawn. */
const EACH = 12;
const [COLUMN, GAP, ROW, BOX] = [232, 66, 44, 34];

/** Shows it. */
export async function show(place) {
  const options = { signal: place.signal };
  const [upstreams, plugins] = await Promise.all(['upstreams', 'plugins'].map((path) => all(path, options)));
  const search = h('input', {
    type: 'search',
    placeholder: t('list.search'),
    'aria-label': t('list.search'),
    spellcheck: 'false',
  });
  const note = h('p', { class: 'count' });
  const body = h('div', { class: 'scrolled map', tabindex: '0', role: 'region', 'aria-label': t('page.map') });
  let empty = false;
  const draw = async () => {
    const question = search.value.trim();
    const { services, more, loose } = await found(question, options);
    const graph = await gather({ services, upstreams, plugins }, options);
    if (question !== search.value.trim()) return;
    empty = services.length === 0 && loose.length === 0 && question === '';
    replace(note, more ? t('map.limited', { shown: services.length }) : '');
    replace(
      body,
      services.length === 0 && loose.length === 0
        ? h('p', { class: 'nothing' }, t('nothing'))
        : picture(graph, loose),
    );
  };
  search.addEventListener('input', debounced(150, draw));
  await draw();
  const global = plugins.filter(
    (plugin) => !plugin.service && !plugin.route && !plugin.consumer && !plugin.consumer_group,
  );
  return [
    heading(t('page.map'), { about: t('about.map') }),
    empty
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

/** The services that a question finds, by themselves or by a route of theirs, and routes that have none. */
async function found(question, options) {
  const [named, routes] = await Promise.all(
    ['services', 'routes'].map((path) => page(path, { size: DRAWN, search: question, ...options })),
  );
  const services = new Map(named.data.map((service) => [service.id, service]));
  const loose = routes.data.filter((route) => !route.service);
  let more = named.offset !== null;
  if (question) {
    more ||= routes.offset !== null;
    const others = new Set(routes.data.map((route) => route.service?.id).filter((id) => id && !services.has(id)));
    const read = [...others].slice(0, DRAWN - services.size).map((id) => one('services', id, options));
    for (const service of await Promise.all(read)) services.set(service.id, service);
  }
  return { services: [...services.values()], more, loose };
}

/** What hangs together: each service with its routes, its upstream and the targets of that. */
async function gather({ services, upstreams, plugins }, options) {
  const byName = new Map(upstreams.map((upstream) => [upstream.name, upstream]));
  const used = [...new Set(services.map((service) => byName.get(service.host)).filter(Boolean))];
  const some = (path) => page(path, { size: EACH, ...options }).catch(() => ({ data: [], offset: null }));
  const [routes, targets] = await Promise.all([
    Promise.all(services.map(({ id }) => some(`services/${id}/routes`))),
    Promise.all(used.map(({ id }) => some(`upstreams/${id}/targets`))),
  ]);
  const targetsOf = new Map(used.map(({ id }, at) => [id, targets[at]]));
  const hungOn = (service) => targetsOf.get(byName.get(service.host)?.id) ?? { data: [], offset: null };
  const of = (field, id) => plugins.filter((plugin) => plugin[field]?.id === id);
  return services.map((service, at) => ({
    service,
    plugins: of('service', service.id),
    routes: routes[at].data.map((route) => ({ route, plugins: of('route', route.id) })),
    upstream: byName.get(service.host) ?? null,
    targets: hungOn(service).data,
    // By columns: whether there is more than is drawn.
    more: [routes[at].offset !== null, false, false, hungOn(service).offset !== null],
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
  for (const { service, plugins, upstream, routes, targets, more: hidden } of graph) {
    const seen = drawnUpstreams.get(upstream?.id);
    const rows = Math.max(1, routes.length, seen === undefined ? targets.length : 0);
    const middle = y + ((rows - 1) * ROW) / 2;
    box(
      1,
      middle,
      titleOf(service, 'services'),
      'services',
      service.id,
      plugins,
      service.enabled === false ? 'off' : '',
      `${service.protocol}://${service.host}:${service.port}`,
    );
    routes.forEach(({ route, plugins: own }, at) => {
      const top = y + at * ROW + ((rows - routes.length) * ROW) / 2;
      box(0, top, titleOf(route, 'routes'), 'routes', route.id, own, '', matchOf(route));
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
    hidden.forEach((isHidden, column) => {
      if (isHidden) more.push({ x: x(column), y: y + rows * ROW + 6 });
    });
    y += rows * ROW + (hidden.includes(true) ? 36 : 18);
  }
  loose.forEach((route) => {
    box(0, y, titleOf(route, 'routes'), 'routes', route.id, [], 'off', matchOf(route));
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
    more.map(({ x: left, y: top }) => svg('text', { class: 'head', x: left, y: top }, t('map.more'))),
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
    // Letters differ in width: what is cut too late ends at the edge.
    svg(
      'svg',
      { x, y, width: COLUMN - (marked ? 34 : 8), height: BOX },
      svg('text', { x: 12, y: 15, class: 'name' }, cut(words, room)),
      svg('text', { x: 12, y: 28, class: 'detail' }, cut(detail, room + 4)),
    ),
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
