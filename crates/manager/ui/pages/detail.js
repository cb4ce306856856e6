/** One record: what it says, what belongs to it, and how it is written. */

import { h } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { hasAudit, isReadOnly } from '../core/node.js';
import { go, href } from '../core/router.js';
import { t } from '../core/texts.js';
import { curl, deck, withoutNulls } from '../entities/commands.js';
import { definition, keyOf, titleOf } from '../entities/definitions.js';
import { pluginTitle } from '../entities/plugins.js';
import { one } from '../entities/records.js';
import { yaml } from '../entities/yaml.js';
import { code, copyButton } from '../parts/code.js';
import { createButton, heading, linkButton, panel } from '../parts/page.js';
import { enabledSwitch } from '../parts/table.js';
import { tabs } from '../parts/tabs.js';
import { record as fieldsOf, shown } from '../parts/value.js';
import { historyOf } from './changes.js';
import { fieldsFor } from './edit.js';
import { records } from './list.js';
import { pluginColumns } from './plugins.js';
import { removed } from './remove.js';

/** The page of a record. `views` are tabs of an entity's own, before or after the others. */
export async function detailPage(place, entity, { views = () => [], actions, first } = {}) {
  const known = definition(entity);
  const record = await one(known.path, place.parts[0], { signal: place.signal, global: known.global });
  const fields = await fieldsFor(entity, record);
  const name = entity === 'plugins' ? pluginTitle(record.name) : titleOf(record, entity);
  const own = views(record, fields);
  const children = known.children.map(([child, path]) => ({
    name: child,
    label: t(`page.${child}`),
    show: () => related(place, entity, record, child, path),
  }));
  const overview = { name: 'overview', label: t('overview'), show: () => summary(place, entity, fields, record) };
  const leading = own.filter((view) => view.first);
  return [
    heading(name, {
      trail: [[href(entity), t(`page.${entity}`)]],
      mark: h(
        'span',
        { class: 'id' },
        h('code', {}, record.id),
        copyButton(() => record.id, t('copy.id')),
        'enabled' in record && enabledSwitch(entity, known.path, record),
      ),
      actions: [
        actions?.(record),
        !isReadOnly() && linkButton(href(entity, keyOf(record), 'edit'), 'edit', t('edit')),
        !isReadOnly() && h(
          'button',
          {
            class: 'danger',
            onclick: async () => {
              if (await removed(entity, record)) go(href(entity), { instead: true });
            },
          },
          icon('trash'),
          t('delete'),
        ),
      ],
    }),
    first?.(record),
    tabs(
      [
        ...leading,
        overview,
        ...own.filter((view) => !view.first),
        ...children,
        hasAudit() && { name: 'history', label: t('changes.history'), show: () => historyOf(record, place.signal) },
        { name: 'code', label: t('code'), show: () => written(entity, record) },
      ],
      { label: name, chosen: place.query.get('view') },
    ),
  ];
}

/** All fields, those without a value too. */
function summary(place, entity, fields, record) {
  const groups = definition(entity).groups;
  const left = new Map(fields.map((field) => [field.name, field]));
  const sections = groups.map(([name, names]) => {
    const found = names.map((one) => left.get(one)).filter(Boolean);
    found.forEach((field) => left.delete(field.name));
    const set = found.some((field) => (record[field.name] ?? null) !== null);
    if (!set) return null;
    const title = t(`form.group.${name}`);
    // The settings of a plugin or vault are all that their panel has.
    const [only] = found;
    if (found.length === 1 && only.name === 'config') {
      return panel(title, shown({ ...only, name: 'config' }, record.config, place.signal));
    }
    return panel(title, fieldsOf(found, record, place.signal, name === 'general'));
  });
  return h(
    'div',
    { class: 'flow' },
    sections,
    left.size > 0 && panel(t('form.group.record'), fieldsOf([...left.values()], record, place.signal)),
  );
}

/** What belongs to the record. */
async function related(place, entity, record, child, path) {
  const field = {
    services: 'service',
    routes: 'route',
    consumers: 'consumer',
    consumer_groups: 'consumer_group',
    certificates: 'certificate',
    key_sets: 'set',
    upstreams: 'upstream',
  }[entity];
  const query = `?${field}=${record.id}`;
  const create = child === 'plugins' ? `${href('plugins', 'select')}${query}` : `${href(child, 'create')}${query}`;
  const listed = records(place, child, {
    path: `${definition(entity).path}/${record.id}/${path}`,
    create,
    searchable: false,
    ...(child === 'plugins' ? pluginColumns() : {}),
  });
  await listed.ready;
  return [h('div', { class: 'bar' }, createButton(create, t(`new.${child}`), 'primary')), listed.element];
}

/** The record as JSON, as YAML and as lines for a terminal. */
function written(entity, record) {
  const { created_at, updated_at, ...own } = withoutNulls(record);
  const path = `/${definition(entity).path}/${keyOf(record)}`;
  const applied = deck(entity, own);
  return h(
    'div',
    { class: 'columns' },
    code(JSON.stringify(record, null, 2), 'JSON'),
    code(yaml(own), 'YAML'),
    code(curl('GET', path, null, definition(entity)), 'curl'),
    applied && code(applied, 'decK'),
  );
}
