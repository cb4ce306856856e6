/** A role: its rules about endpoints, and those about single records. */

import { get, send } from '../core/api.js';
import { h, replace } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { href, reload } from '../core/router.js';
import { t } from '../core/texts.js';
import { definition, entities, keyOf, titleOf } from '../entities/definitions.js';
import { kindOf } from '../entities/labels.js';
import { all, one } from '../entities/records.js';
import { picker } from '../forms/foreign.js';
import { nothing } from '../parts/page.js';
import { removeButton, rows } from '../parts/rows.js';
import { done, failed } from '../shell/toast.js';
import { detailPage } from './detail.js';

const ACTIONS = ['read', 'create', 'update', 'delete'];
/** What stands for all records. */
const ANY = '*';
/** Entities whose records no rule is about. */
const WITHOUT = ['rbac_roles', 'rbac_users', 'groups', 'admins', 'workspaces'];

/** The page of a role. */
export function rolePage(place) {
  return detailPage(place, 'rbac_roles', {
    views: (role) => [
      { name: 'endpoints', label: t('access.rules'), first: true, show: () => endpointRules(place, role) },
      { name: 'records', label: t('access.records'), first: true, show: () => recordRules(place, role) },
    ],
  });
}

async function endpointRules(place, role) {
  const path = `/rbac/roles/${keyOf(role)}/endpoints`;
  const { data } = await get(`${path}?size=1000`, { signal: place.signal });
  const heads = ['endpoint', 'workspace', 'actions', 'negative', 'comment'].map((head) => t(`access.${head}`));
  const lines = data.map((rule) => [
    h('code', {}, rule.endpoint),
    rule.workspace,
    actionsOf(rule),
    effectOf(rule),
    rule.comment,
    removeButton(rule.endpoint, () => {
      const endpoint = rule.endpoint.replace(/^\//, '');
      act(() => send('DELETE', `${path}/${rule.workspace}/${endpoint}`), t('deleted', { name: rule.endpoint }));
    }),
  ]);
  return [
    endpointForm(place, (rule) => act(() => send('POST', path, rule), t('created', { name: rule.endpoint }))),
    data.length === 0 ? nothing('access', t('access.norules')) : rows(t('access.rules'), [...heads, null], lines),
  ];
}

async function recordRules(place, role) {
  const path = `/rbac/roles/${keyOf(role)}/entities`;
  const { data } = await get(`${path}?size=1000`, { signal: place.signal });
  const heads = ['record', 'kind', 'actions', 'negative', 'comment'].map((head) => t(`access.${head}`));
  const lines = data.map((rule) => [
    recordOf(place, rule),
    rule.entity_id === ANY ? '–' : kindOf(rule.entity_type),
    actionsOf(rule),
    effectOf(rule),
    rule.comment,
    removeButton(rule.entity_id, () => {
      const gone = () => send('DELETE', `${path}/${encodeURIComponent(rule.entity_id)}`);
      act(gone, t('deleted', { name: rule.entity_id }));
    }),
  ]);
  return [
    h('p', { class: 'count' }, t('access.records.words')),
    recordForm((rule) => act(() => send('POST', path, rule), t('access.added'))),
    data.length === 0
      ? nothing('access', t('access.norecords'))
      : rows(t('access.records'), [...heads, null], lines),
  ];
}

/** Does it, says so, and shows what there is now. */
async function act(action, words) {
  try {
    await action();
    done(words);
    reload();
  } catch (error) {
    failed(error);
  }
}

function actionsOf(rule) {
  const words = [rule.actions].flat().map((action) => h('span', { class: 'token' }, action));
  return h('span', { class: 'tokens' }, words);
}

function effectOf(rule) {
  return h('span', { class: `badge ${rule.negative ? 'bad' : 'good'}` }, t(rule.negative ? 'access.forbids' : 'access.allows'));
}

/** The record that a rule is about, by its name where it is there. */
function recordOf(place, { entity_id: id, entity_type: entity }) {
  if (id === ANY) return t('access.all');
  const link = h('a', { href: href(entity, id) }, h('code', {}, id.slice(0, 8)));
  const { path, global } = definition(entity);
  one(path, id, { signal: place.signal, global }).then(
    (record) => replace(link, titleOf(record, entity)),
    () => {},
  );
  return link;
}

/** What both forms have: which actions, and whether they are allowed or forbidden. */
function choices() {
  const boxes = ACTIONS.map((name) => ({ name, input: h('input', { type: 'checkbox', checked: name === 'read' }) }));
  const negative = h('input', { type: 'checkbox' });
  return {
    element: h(
      'div',
      { class: 'choices', role: 'group', 'aria-label': t('access.actions') },
      boxes.map(({ name, input }) => h('label', { class: 'choice' }, input, name)),
      h('label', { class: 'choice' }, negative, t('access.forbids')),
    ),
    value: () => ({
      actions: boxes
        .filter(({ input }) => input.checked)
        .map(({ name }) => name)
        .join(','),
      negative: negative.checked,
    }),
  };
}

function ruleForm(fields, chosen, value, take) {
  return h(
    'form',
    {
      class: 'panel inline-form',
      onsubmit: (event) => {
        event.preventDefault();
        const rule = value();
        if (rule) take({ ...rule, ...chosen.value() });
      },
    },
    fields,
    chosen.element,
    h('button', { class: 'primary' }, icon('plus'), t('form.add')),
  );
}

function endpointForm(place, take) {
  const endpoint = h('input', {
    required: true,
    placeholder: '/services/*',
    'aria-label': t('access.endpoint'),
    spellcheck: 'false',
  });
  const everywhere = () => h('option', { value: ANY }, t('access.everywhere'));
  const workspace = h('select', { 'aria-label': t('access.workspace') }, everywhere());
  all('workspaces', { global: true, signal: place.signal })
    .then((found) => {
      replace(
        workspace,
        everywhere(),
        found.map(({ name }) => h('option', { value: name }, name)),
      );
      workspace.value = place.workspace;
    })
    .catch(() => {});
  const value = () => ({ endpoint: endpoint.value, workspace: workspace.value });
  return ruleForm([endpoint, workspace], choices(), value, take);
}

function recordForm(take) {
  const kinds = ['workspaces', ...Object.keys(entities).filter((entity) => !WITHOUT.includes(entity))];
  // Targets have no list of their own to pick from.
  const offered = kinds.filter((entity) => !definition(entity).under);
  const kind = h(
    'select',
    { 'aria-label': t('access.kind') },
    h('option', { value: ANY }, t('access.all')),
    offered.map((entity) => h('option', { value: entity }, kindOf(entity))),
  );
  const place = h('div', { class: 'grow' });
  let chosen = null;
  let pick = null;
  kind.addEventListener('change', () => {
    chosen = null;
    pick = kind.value === ANY ? null : picker(kind.value, null, (record) => (chosen = record));
    pick?.input.setAttribute('aria-label', t('access.record'));
    replace(place, pick?.element);
    pick?.input.focus();
  });
  const value = () => {
    if (kind.value === ANY) return { entity_id: ANY };
    if (chosen) return { entity_id: chosen.id };
    pick.input.focus();
    return null;
  };
  return ruleForm([kind, place], choices(), value, take);
}
