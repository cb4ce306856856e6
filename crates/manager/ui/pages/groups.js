/** A group of users: its roles, each in its workspace. */

import { get, send } from '../core/api.js';
import { h, replace } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { href, reload } from '../core/router.js';
import { t } from '../core/texts.js';
import { keyOf } from '../entities/definitions.js';
import { all } from '../entities/records.js';
import { nothing } from '../parts/page.js';
import { removeButton, rows } from '../parts/rows.js';
import { done, failed } from '../shell/toast.js';
import { detailPage } from './detail.js';

/** The page of a group. */
export function groupPage(place) {
  return detailPage(place, 'groups', {
    views: (group) => [
      { name: 'roles', label: t('page.rbac_roles'), first: true, show: () => rolesOf(place, group) },
    ],
  });
}

async function rolesOf(place, group) {
  const path = `/groups/${keyOf(group)}/roles`;
  const options = { global: true };
  const { data } = await get(path, { ...options, signal: place.signal });
  const change = async (method, { role, workspace }, words) => {
    try {
      await send(method, path, { rbac_role_id: role.id, workspace_id: workspace.id }, options);
      done(t(words, { name: role.name }));
      reload();
    } catch (error) {
      failed(error);
    }
  };
  const lines = data.map(({ rbac_role: role, workspace }) => [
    h('a', { href: href('rbac_roles', role.id) }, role.name),
    workspace.name,
    role.comment,
    removeButton(role.name, () => change('DELETE', { role, workspace }, 'access.taken')),
  ]);
  const heads = ['access.role', 'access.workspace', 'access.comment'].map((head) => t(head));
  return [
    roleForm(place, (chosen) => change('POST', chosen, 'access.given')),
    data.length === 0
      ? nothing('access', t('access.noroles'))
      : rows(t('page.rbac_roles'), [...heads, null], lines),
  ];
}

/** Chooses a role of a workspace. */
function roleForm(place, take) {
  const workspace = h('select', { 'aria-label': t('access.workspace') });
  const role = h('select', { 'aria-label': t('access.role'), required: true });
  let [workspaces, roles] = [[], []];
  const signal = place.signal;
  const readRoles = async () => {
    const found = await get('/rbac/roles?size=1000', { workspace: workspace.value, signal });
    roles = found.data;
    replace(
      role,
      roles.map(({ id, name }) => h('option', { value: id }, name)),
    );
  };
  const read = async () => {
    workspaces = await all('workspaces', { global: true, signal });
    replace(
      workspace,
      workspaces.map(({ name }) => h('option', { value: name }, name)),
    );
    workspace.value = place.workspace;
    await readRoles();
  };
  const quietly = (action) => action().catch((error) => signal.aborted || failed(error));
  workspace.addEventListener('change', () => quietly(readRoles));
  quietly(read);
  return h(
    'form',
    {
      class: 'panel inline-form',
      onsubmit: (event) => {
        event.preventDefault();
        const chosen = {
          role: roles.find(({ id }) => id === role.value),
          workspace: workspaces.find(({ name }) => name === workspace.value),
        };
        if (chosen.role && chosen.workspace) take(chosen);
      },
    },
    workspace,
    role,
    h('button', { class: 'primary' }, icon('plus'), t('form.add')),
  );
}
