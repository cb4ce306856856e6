/** A consumer with its credentials and groups, and a consumer group with its members. */

import { get, send } from '../core/api.js';
import { h } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { isReadOnly } from '../core/node.js';
import { href, reload } from '../core/router.js';
import { entitySchema } from '../core/schemas.js';
import { t } from '../core/texts.js';
import { credentials, keyOf, titleOf } from '../entities/definitions.js';
import { picker } from '../forms/foreign.js';
import { menu } from '../parts/menu.js';
import { nothing } from '../parts/page.js';
import { table } from '../parts/table.js';
import { done, failed } from '../shell/toast.js';
import { addressOf, credentialPage, kindName, kinds } from './credential.js';
import { detailPage } from './detail.js';
import { removed } from './remove.js';

/** The page of a consumer, and those of its credentials. */
export async function consumerPage(place) {
  const [, part, entity] = place.parts;
  if (part === 'credentials' && entity) return credentialPage(place);
  return detailPage(place, 'consumers', {
    views: (consumer) => [
      {
        name: 'credentials',
        label: t('consumer.credentials'),
        first: true,
        show: () => credentialsView(place, consumer),
      },
      {
        name: 'groups',
        label: t('page.consumer_groups'),
        show: () =>
          members(place, {
            path: `/consumers/${consumer.id}/consumer_groups`,
            entity: 'consumer_groups',
            list: 'consumer_groups',
            field: 'group',
          }),
      },
    ],
  });
}

/** The page of a consumer group. */
export function consumerGroupPage(place) {
  return detailPage(place, 'consumer_groups', {
    views: (group) => [
      {
        name: 'members',
        label: t('page.consumers'),
        first: true,
        show: () =>
          members(place, {
            path: `/consumer_groups/${group.id}/consumers`,
            entity: 'consumers',
            list: 'consumers',
            field: 'consumer',
          }),
      },
    ],
  });
}

async function credentialsView(place, consumer) {
  const all = await Promise.all(
    [...(await kinds())].map(async ([entity, path]) => {
      const where = `consumers/${consumer.id}/${path}`;
      await entitySchema(entity).catch(() => {});
      const { data } = await get(`/${where}?size=1000`, { signal: place.signal }).catch(() => ({ data: [] }));
      return { entity, path, where, data };
    }),
  );
  const add = h(
    'div',
    { class: 'bar' },
    !isReadOnly() &&
      menu(
        [icon('plus'), t('consumer.new'), icon('down')],
        all.map(({ entity }) =>
          h('a', { href: href('consumers', keyOf(consumer), 'credentials', entity) }, kindName(entity)),
        ),
        { kind: 'button primary' },
      ),
  );
  const filled = all.filter(({ data }) => data.length > 0);
  return [
    add,
    filled.length === 0
      ? nothing('key', t('consumer.none'))
      : filled.map(({ entity, where, data }) =>
          h(
            'section',
            { class: 'below' },
            h('h2', {}, kindName(entity)),
            table({
              entity,
              records: data,
              columns: credentials[entity]?.columns ?? ['id', 'created_at'],
              open: (record) => addressOf(keyOf(consumer), entity, record),
              edit: (record) => `${addressOf(keyOf(consumer), entity, record)}/edit`,
              signal: place.signal,
              remove: async (record) => (await removed(entity, record, where)) && reload(),
            }),
          ),
        ),
  ];
}

/** Records that are members of another one, with a field to add one. */
async function members(place, { path, entity, list, field }) {
  const body = await get(`${path}?size=1000`, { signal: place.signal });
  const records = body[list] ?? body.data ?? [];
  const act = async (action, words) => {
    try {
      await action();
      done(words);
      reload();
    } catch (error) {
      failed(error);
    }
  };
  let chosen = null;
  const pick = picker(entity, 'member', (record) => {
    chosen = record;
  });
  pick.input.setAttribute('aria-label', t(`page.${entity}`));
  const add = h(
    'div',
    { class: 'bar' },
    pick.element,
    h(
      'button',
      {
        class: 'primary',
        onclick: () => {
          if (chosen)
            act(() => send('POST', path, { [field]: chosen.id }), t('member.added', { name: titleOf(chosen, entity) }));
        },
      },
      icon('plus'),
      t('form.add'),
    ),
  );
  return [
    !isReadOnly() && add,
    records.length === 0
      ? nothing(entity, t(`empty.${entity}`))
      : table({
          entity,
          records,
          columns: [entity === 'consumers' ? 'username' : 'name', 'tags'],
          signal: place.signal,
          remove: (record) =>
            act(() => send('DELETE', `${path}/${record.id}`), t('member.removed', { name: titleOf(record, entity) })),
        }),
  ];
}
