/** Who may use the Admin API: administrators, roles with their rules, and users with tokens. */

import { get, send } from '../core/api.js';
import { login } from '../core/config.js';
import { h, replace } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { href, reload } from '../core/router.js';
import { t } from '../core/texts.js';
import { keyOf } from '../entities/definitions.js';
import { all } from '../entities/records.js';
import { code } from '../parts/code.js';
import { heading, linkButton, nothing, panel } from '../parts/page.js';
import { tabs } from '../parts/tabs.js';
import { dialog } from '../shell/dialog.js';
import { done, failed } from '../shell/toast.js';
import { detailPage } from './detail.js';
import { records } from './list.js';

const ACTIONS = ['read', 'create', 'update', 'delete'];
const LISTS = ['admins', 'rbac_roles', 'rbac_users'];

/** All of them. */
export async function show(place) {
  const list = (entity) => async () => {
    const listed = records(place, entity, { searchable: false, render: { status: statusOf } });
    await listed.ready;
    return [
      h(
        'div',
        { class: 'bar' },
        h('p', { class: 'about grow' }, t(`about.${entity}`)),
        linkButton(href(entity, 'create'), 'plus', t(`new.${entity}`), 'primary'),
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

/** A user: roles. */
export function userPage(place) {
  return detailPage(place, 'rbac_users', {
    views: (user) => [
      {
        name: 'roles',
        label: t('page.rbac_roles'),
        first: true,
        show: () => rolesOf(place, `/rbac/users/${keyOf(user)}/roles`),
      },
    ],
  });
}

/** A role: its rules. */
export function rolePage(place) {
  return detailPage(place, 'rbac_roles', {
    views: (role) => [{ name: 'rules', label: t('access.rules'), first: true, show: () => rulesOf(place, role) }],
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

/** The roles that somebody has, as switches. */
async function rolesOf(place, path) {
  const [{ roles }, every] = await Promise.all([
    get(path, { signal: place.signal }),
    all('rbac/roles', { signal: place.signal }),
  ]);
  const has = new Set(roles.map((role) => role.name));
  return panel(
    null,
    h(
      'ul',
      { class: 'plain rows' },
      every.map((role) =>
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
              checked: has.has(role.name),
              onchange: async (event) => {
                const input = event.target;
                try {
                  await send(input.checked ? 'POST' : 'DELETE', path, { roles: role.name });
                  done(t(input.checked ? 'access.given' : 'access.taken', { name: role.name }));
                } catch (error) {
                  input.checked = !input.checked;
                  failed(error);
                }
              },
            }),
            h('strong', {}, role.name),
            h('span', {}, role.comment),
          ),
        ),
      ),
    ),
  );
}

async function rulesOf(place, role) {
  const path = `/rbac/roles/${keyOf(role)}/endpoints`;
  const { data } = await get(`${path}?size=1000`, { signal: place.signal });
  const act = async (action, words) => {
    try {
      await action();
      done(words);
      reload();
    } catch (error) {
      failed(error);
    }
  };
  const heads = ['endpoint', 'workspace', 'actions', 'negative', 'comment'];
  const list =
    data.length === 0
      ? nothing('access', t('access.norules'))
      : h(
          'div',
          { class: 'scrolled', tabindex: '0', role: 'region', 'aria-label': t('access.rules') },
          h(
            'table',
            {},
            h(
              'thead',
              {},
              h(
                'tr',
                {},
                heads.map((head) => h('th', { scope: 'col' }, t(`access.${head}`))),
                h('th', { class: 'actions' }),
              ),
            ),
            h(
              'tbody',
              {},
              data.map((rule) =>
                h(
                  'tr',
                  {},
                  h('td', {}, h('code', {}, rule.endpoint)),
                  h('td', {}, rule.workspace),
                  h(
                    'td',
                    {},
                    h(
                      'span',
                      { class: 'tokens' },
                      [rule.actions].flat().map((one) => h('span', { class: 'token' }, one)),
                    ),
                  ),
                  h('td', {}, rule.negative && h('span', { class: 'badge bad' }, t('access.forbids'))),
                  h('td', {}, rule.comment),
                  h(
                    'td',
                    { class: 'actions' },
                    h(
                      'button',
                      {
                        class: 'plain',
                        'aria-label': t('delete.named', { name: rule.endpoint }),
                        onclick: () =>
                          act(
                            () => send('DELETE', `${path}/${rule.workspace}/${rule.endpoint.replace(/^\//, '')}`),
                            t('deleted', { name: rule.endpoint }),
                          ),
                      },
                      icon('trash'),
                    ),
                  ),
                ),
              ),
            ),
          ),
        );
  return [newRule(place, (rule) => act(() => send('POST', path, rule), t('created', { name: rule.endpoint }))), list];
}

function newRule(place, take) {
  const endpoint = h('input', {
    required: true,
    placeholder: '/services/*',
    'aria-label': t('access.endpoint'),
    spellcheck: 'false',
  });
  const workspace = h(
    'select',
    { 'aria-label': t('access.workspace') },
    h('option', { value: '*' }, t('access.everywhere')),
  );
  all('workspaces', { global: true, signal: place.signal })
    .then((found) => {
      replace(
        workspace,
        h('option', { value: '*' }, t('access.everywhere')),
        found.map(({ name }) => h('option', { value: name }, name)),
      );
      workspace.value = place.workspace;
    })
    .catch(() => {});
  const boxes = ACTIONS.map((name) => ({ name, input: h('input', { type: 'checkbox', checked: name === 'read' }) }));
  const negative = h('input', { type: 'checkbox' });
  return h(
    'form',
    {
      class: 'panel inline-form',
      onsubmit: (event) => {
        event.preventDefault();
        const actions = boxes
          .filter(({ input }) => input.checked)
          .map(({ name }) => name)
          .join(',');
        take({ endpoint: endpoint.value, workspace: workspace.value, actions, negative: negative.checked });
      },
    },
    endpoint,
    workspace,
    h(
      'div',
      { class: 'choices' },
      boxes.map(({ name, input }) => h('label', { class: 'choice' }, input, name)),
      h('label', { class: 'choice' }, negative, t('access.forbids')),
    ),
    h('button', { class: 'primary' }, icon('plus'), t('form.add')),
  );
}
