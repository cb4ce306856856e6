/** Pictures of 20 by 20, drawn with lines. */

import { svg } from './dom.js';

const paths = {
  overview: 'M3 3h6v8H3zM11 3h6v4h-6zM11 9h6v8h-6zM3 13h6v4H3z',
  live: 'M2 10h3l2.5-6 4 12 2.5-6H18',
  services: 'M3 4h14v5H3zM3 11h14v5H3zM6 6.5h.01M6 13.5h.01',
  routes:
    'M6 4.5a2 2 0 1 1-4 0 2 2 0 0 1 4 0M18 15.5a2 2 0 1 1-4 0 2 2 0 0 1 4 0' +
    'M6 4.5h5.5a2.75 2.75 0 0 1 0 5.5h-3a2.75 2.75 0 0 0 0 5.5H14',
  consumers: 'M10 9a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM4 17c.5-3.5 3-5 6-5s5.5 1.5 6 5',
  consumer_groups:
    'M7 9a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM2 16c.4-3 2.5-4.5 5-4.5s4.6 1.5 5 4.5' +
    'M13 4.300a2.5 2.5 0 0 1 0 4.5M14.5 11.800c2 .5 3.2 1.9 3.5 4.2',
  plugins: 'M8 3v3M12 3v3M5 6h10v4a5 5 0 0 1-10 0zM10 15v3',
  upstreams: 'M10 3v4M10 7 4 12M10 7l6 5M2.5 12h3v4h-3zM8.5 12h3v4h-3zM14.5 12h3v4h-3zM10 7v5',
  certificates:
    'M3.5 3h13v9.5h-13zM6.5 6h7M6.5 9h4M15.2 12.5a2.2 2.2 0 1 1-4.4 0 2.2 2.2 0 0 1 4.4 0' +
    'M11.6 14.5v3.5l1.4-1 1.4 1v-3.5',
  ca_certificates: 'M10 2.5 16 5v5c0 4-2.5 6.5-6 7.5-3.5-1-6-3.5-6-7.5V5zM7.5 10l2 2 3.5-4',
  snis: 'M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM3 10h14M10 3c4 4 4 10 0 14M10 3c-4 4-4 10 0 14',
  keys: 'M7 13a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM10.5 9.5H18M15 9.5v3M17.5 9.5v2',
  key_sets: 'M6 10a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM8.5 7.5H16M14 7.5v2M4 14h12M4 17h8',
  vaults: 'M3 4h14v12H3zM10 13a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM10 8.5v-1M10 12.5v-1M11.5 10h1',
  balance: 'M10 3v13M6 17h8M4 6h12M4 6l-2 5h4zM16 6l-2 5h4z',
  trace: 'M3 5h5M8 5v10M8 15h5M13 15V9M13 9h4M15 7l2 2-2 2',
  map:
    'M6 10a2 2 0 1 1-4 0 2 2 0 0 1 4 0M12 4.5a2 2 0 1 1-4 0 2 2 0 0 1 4 0' +
    'M12 15.5a2 2 0 1 1-4 0 2 2 0 0 1 4 0M18 10a2 2 0 1 1-4 0 2 2 0 0 1 4 0M5.5 8.7l3-2.8M5.5 11.3l3 2.8' +
    'M11.5 5.9l3 2.8M11.5 14.1l3-2.8',
  expressions:
    'M7 4c-2 0-2.5 1-2.5 2.5S4.5 9.5 3 10c1.5.5 1.5 2 1.5 3.5S5 16 7 16' +
    'M13 4c2 0 2.5 1 2.5 2.5s0 3 1.5 3.5c-1.5.5-1.5 2-1.5 3.5S15 16 13 16M10 9v.01M10 12v.01',
  changes: 'M10 5v5l3 2M3.5 10a6.5 6.5 0 1 0 2-4.700L3 7.5M3 3.5v4h4',
  files: 'M5 2.5h7l3 3v12H5zM12 2.5v3h3M8 11l2-2 2 2M10 9v6',
  workspaces: 'M3 5.5 10 2l7 3.5L10 9zM3 10l7 3.5L17 10M3 14l7 3.5L17 14',
  access: 'M6 9V6.5a4 4 0 0 1 8 0V9M4 9h12v8H4zM10 12v2',
  node: 'M6 6h8v8H6zM8 3v3M12 3v3M8 14v3M12 14v3M3 8h3M3 12h3M14 8h3M14 12h3',
  search: 'M9 15A6 6 0 1 0 9 3a6 6 0 0 0 0 12zM13.5 13.5 17 17',
  plus: 'M10 4v12M4 10h12',
  edit: 'M4 16l.7-3L13 4.700l2.3 2.300L7 15.300zM11.5 6.200l2.3 2.3',
  trash: 'M4 6h12M8 6V4h4v2M6 6l.7 11h6.600L14 6M8.5 9v5M11.5 9v5',
  copy: 'M7 7h9v10H7zM4 13V3h9',
  close: 'M5 5l10 10M15 5 5 15',
  check: 'M4 10.5 8 14.5 16 6',
  chevron: 'M7 5l5 5-5 5',
  down: 'M5 8l5 5 5-5',
  menu: 'M3 5h14M3 10h14M3 15h14',
  sun:
    'M10 13.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM10 2v1.5M10 16.5V18M2 10h1.5M16.5 10H18' +
    'M4.3 4.300l1.1 1.100M14.6 14.600l1.1 1.100M15.7 4.300l-1.1 1.100M5.4 14.600l-1.1 1.1',
  moon: 'M16 12.5A6.5 6.5 0 0 1 7.5 4a6.5 6.5 0 1 0 8.5 8.5z',
  system: 'M3 4h14v9H3zM7 17h6M10 13v4',
  user: 'M10 10a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM4 17c.5-3 3-4.5 6-4.5s5.5 1.5 6 4.5',
  leave: 'M8 4H4v12h4M9 10h8M14 7l3 3-3 3',
  warning: 'M10 3 18 16.5H2zM10 8v4M10 14.200v.01',
  info: 'M10 17.5a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15zM10 9v5M10 6.300v.01',
  key: 'M7 13a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM10.5 9.5H18M15 9.5v3',
  eye: 'M2 10s3-5.5 8-5.5S18 10 18 10s-3 5.5-8 5.5S2 10 2 10zM10 12.300a2.3 2.3 0 1 0 0-4.6 2.3 2.3 0 0 0 0 4.600z',
  external: 'M8 5H4v11h11v-4M11 4h5v5M16 4l-7 7',
  refresh: 'M16 7.5A6.5 6.5 0 1 0 16.5 11M16.5 4v4h-4',
  tag: 'M3 3.5h6.5L17 11l-6 6-7.5-7.5zM6.5 7v.01',
  language: 'M3 5h8M7 3v2M9 5c-.5 4-3 6.5-6 8M5 8c1 2.5 3 4 5 5M11 17l3.5-9 3.5 9M12.2 14h4.6',
  more: 'M4.5 10h.01M10 10h.01M15.5 10h.01',
};

/** Pictures that stand for several things. */
paths.admins = paths.user;
paths.rbac_users = paths.user;
paths.rbac_roles = paths.access;
paths.groups = paths.consumer_groups;
paths.targets = paths.upstreams;

/** The picture of that name; decoration unless `label` says what it means. */
export function icon(name, label) {
  const told = label ? { role: 'img', 'aria-label': label } : { 'aria-hidden': 'true' };
  return svg('svg', { viewBox: '0 0 20 20', class: 'icon', ...told }, svg('path', { d: paths[name] ?? paths.info }));
}

/** The bridge whose leaf is up. */
export function logo() {
  return svg(
    'svg',
    { viewBox: '0 0 32 32', class: 'logo', 'aria-hidden': 'true' },
    svg('path', { class: 'deck', d: 'M4 23h24' }),
    svg('path', { class: 'leaf', d: 'M8 22 25 10' }),
    svg('path', { class: 'pier', d: 'M8 22v5M24 23v4' }),
    svg('circle', { class: 'weight', cx: '7', cy: '22.5', r: '3.5' }),
  );
}
