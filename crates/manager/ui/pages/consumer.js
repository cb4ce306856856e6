/** A consumer with its credentials and groups, and a consumer group with its members. */

import { get, send } from '../core/api.js';
import { h } from '../core/dom.js';
import { endpoints } from '../core/endpoints.js';
import { icon } from '../core/icons.js';
import { isReadOnly } from '../core/node.js';
import { go, href, reload } from '../core/router.js';
import { entitySchema } from '../core/schemas.js';
import { known, t } from '../core/texts.js';
import { credentials, keyOf, titleOf } from '../entities/definitions.js';
import { labelOf } from '../entities/labels.js';
import { one } from '../entities/records.js';
import { picker } from '../forms/foreign.js';
import { form } from '../forms/form.js';
import { menu } from '../parts/menu.js';
import { heading, nothing } from '../parts/page.js';
import { table } from '../parts/table.js';
import { done, failed } from '../shell/toast.js';
import { detailPage } from './detail.js';
import { removed } from './remove.js';

/** The page of a consumer, and the form of a new credential of it. */
export async function consumerPage(place) {
  const [key, part, entity] = place.parts;
  if (part === 'credentials' && entity) return newCredential(place, key, entity);
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

/** The kinds of credentials that the node has, by entity: the path below a consumer. */
async function kinds() {
  const found = new Map();
  for (const path of await endpoints()) {
    const match = /^\/consumers\/\{consumers\}\/([^/]+)\/\{([^}]+)\}$/.exec(path);
    if (match && !['plugins', 'consumer_groups'].includes(match[1])) found.set(match[2], match[1]);
  }
  return found;
}

async function credentialsView(place, consumer) {
  const all = await Promise.all(
    [...(await kinds())].map(async ([entity, path]) => {
      const where = `consumers/${consumer.id}/${path}`;
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
              open: null,
              signal: place.signal,
              remove: async (record) => (await removed(entity, record, where)) && reload(),
            }),
          ),
        ),
  ];
}

/** What a kind of credentials is called. */
function kindName(entity) {
  return known(`page.${entity}`) ?? labelOf(entity);
}

async function newCredential(place, key, entity) {
  const [schema, consumer, paths] = await Promise.all([entitySchema(entity), one('consumers', key), kinds()]);
  const back = `${href('consumers', keyOf(consumer))}?view=credentials`;
  return [
    heading(known(`new.${entity}`) ?? kindName(entity), {
      trail: [
        [href('consumers'), t('page.consumers')],
        [back, titleOf(consumer)],
      ],
    }),
    form({
      entity,
      fields: schema.fields,
      without: ['consumer'],
      method: 'POST',
      parent: consumer,
      cancel: back,
      path: `/consumers/${consumer.id}/${paths.get(entity)}`,
      saved: (record) => {
        done(t('created', { name: titleOf(record) }));
        go(back);
      },
    }),
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
            act(() => send('POST', path, { [field]: chosen.id }), t('member.added', { name: titleOf(chosen) }));
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
            act(() => send('DELETE', `${path}/${record.id}`), t('member.removed', { name: titleOf(record) })),
        }),
  ];
}
