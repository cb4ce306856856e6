/** Who may use the Admin API: administrators, users with tokens, and groups of them; roles say what they may do. */

import { get, send } from '../core/api.js';
import { isKnownElsewhere, login } from '../core/config.js';
import { h } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { href } from '../core/router.js';
import { t } from '../core/texts.js';
import { keyOf } from '../entities/definitions.js';
import { all } from '../entities/records.js';
import { code } from '../parts/code.js';
import { createButton, heading, nothing, panel } from '../parts/page.js';
import { tabs } from '../parts/tabs.js';
import { dialog } from '../shell/dialog.js';
import { done, failed } from '../shell/toast.js';
import { detailPage } from './detail.js';
import { records } from './list.js';

const LISTS = ['admins', 'rbac_roles', 'rbac_users', 'groups'];

/** All of them. */
export async function show(place) {
  const list = (entity) => async () => {
    const listed = records(place, entity, { searchable: false, render: { status: statusOf } });
    await listed.ready;
    const about = entity === 'admins' && isKnownElsewhere ? 'about.admins.elsewhere' : `about.${entity}`;
    return [
      h(
        'div',
        { class: 'bar' },
        h('p', { class: 'about grow' }, t(about)),
        createButton(href(entity, 'create'), t(`new.${entity}`), 'primary'),
      ),
      listed.element,
    ];
  };
  return [
    heading(t('page.access'), { about: t('about.access') }),
    login === 'none' && h('p', { class: 'panel note' }, icon('info'), t('access.off')),
    tabs(
      LISTS.map((entity) => ({ name: entity, label: t(`page.${entity}`), show: list(entity) })),
      { label: t('page.access'), chosen: place.query.get('view') },
    ),
  ];
}

/** Whether somebody has answered an invitation. */
function statusOf(admin) {
  const kind = invited(admin) ? 'badge warn' : 'badge good';
  return h('span', { class: kind }, t(invited(admin) ? 'access.invited' : 'access.registered'));
}

/** An administrator: roles, and the link to register by. */
export function adminPage(place) {
  return detailPage(place, 'admins', {
    actions: (admin) =>
      !isKnownElsewhere &&
      h('button', { onclick: () => linkFor(admin) }, icon('key'), t(invited(admin) ? 'access.link' : 'access.reset')),
    views: (admin) => [
      {
        name: 'roles',
        label: t('page.rbac_roles'),
        first: true,
        show: () => rolesOf(place, `/admins/${keyOf(admin)}/roles`),
      },
    ],
  });
}

/** A user: roles and groups. */
export function userPage(place) {
  return detailPage(place, 'rbac_users', {
    views: (user) => [
      {
        name: 'roles',
        label: t('page.rbac_roles'),
        first: true,
        show: () => rolesOf(place, `/rbac/users/${keyOf(user)}/roles`),
      },
      {
        name: 'groups',
        label: t('page.groups'),
        first: true,
        show: () => groupsOf(place, `/rbac/users/${keyOf(user)}/groups`),
      },
    ],
  });
}

function invited(admin) {
  return admin.status === 4;
}

/** Shows the link by which somebody chooses a password, for the first time or anew. */
async function linkFor(admin) {
  const kind = invited(admin) ? 'register' : 'reset';
  try {
    const answer = await get(`/admins/${keyOf(admin)}?generate_${kind}_url=true`);
    const url = answer[`${kind}_url`];
    const absolute = url.includes('://') ? url : new URL(url.replace(/^\//, ''), document.baseURI).href;
    await dialog(t(kind === 'reset' ? 'access.reset' : 'access.link'), () =>
      h('div', {}, h('p', {}, t('access.link.words')), code(absolute)),
    );
  } catch (error) {
    failed(error);
  }
}

/** The roles that somebody has. */
async function rolesOf(place, path) {
  const options = { signal: place.signal };
  const [{ roles }, every] = await Promise.all([get(path, options), all('rbac/roles', options)]);
  return switches(path, 'roles', roles, every);
}

/** The groups that a user is in. */
async function groupsOf(place, path) {
  const options = { signal: place.signal };
  const [{ groups }, every] = await Promise.all([get(path, options), all('groups', { ...options, global: true })]);
  return every.length === 0 ? nothing('access', t('empty.groups')) : switches(path, 'groups', groups, every);
}

/** What somebody has of all there is, as switches. `field` names it in requests. */
function switches(path, field, had, every) {
  const has = new Set(had.map((one) => one.name));
  return panel(
    null,
    h(
      'ul',
      { class: 'plain rows' },
      every.map((one) =>
        h(
          'li',
          {},
          h(
            'label',
            { class: 'row' },
            h('input', {
              type: 'checkbox',
              class: 'toggle',
              role: 'switch',
              checked: has.has(one.name),
              onchange: async (event) => {
                const input = event.target;
                try {
                  await send(input.checked ? 'POST' : 'DELETE', path, { [field]: one.name });
                  done(t(input.checked ? 'access.given' : 'access.taken', { name: one.name }));
                } catch (error) {
                  input.checked = !input.checked;
                  failed(error);
                }
              },
            }),
            h('strong', {}, one.name),
            h('span', {}, one.comment),
          ),
        ),
      ),
    ),
  );
}
