/** The list of an entity: read page by page from the node, filtered by tags there, and searched. */

import { debounced, h, replace } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { href } from '../core/router.js';
import { entitySchema } from '../core/schemas.js';
import { t } from '../core/texts.js';
import { definition, keyOf } from '../entities/definitions.js';
import { page } from '../entities/records.js';
import { createButton, heading, nothing } from '../parts/page.js';
import { table } from '../parts/table.js';
import { failed } from '../shell/toast.js';
import { removed } from './remove.js';

const SIZE = 50;

/** The page of an entity's list. */
export async function listPage(place, entity, { render, columns, about, actions, create } = {}) {
  const listed = records(place, entity, { render, columns, create });
  await listed.ready;
  return [
    heading(t(`page.${entity}`), {
      about: about ?? t(`about.${entity}`),
      actions: [actions, createButton(create ?? href(entity, 'create'), t(`new.${entity}`), 'primary')],
    }),
    listed.element,
  ];
}

/** A list with its filters, for pages of their own and for those of what the records belong to. */
export function records(place, entity, { path, render, columns, create, open, edit, searchable = true } = {}) {
  const known = definition(entity);
  const where = path ?? known.path;
  const options = { signal: place.signal, global: known.global };
  const before = [];
  // Of several answers that of the last question counts.
  let drawn = 0;
  let offset = place.query.get('offset');
  const body = h('div', { class: 'listed', 'aria-live': 'polite' });
  const search = h('input', {
    type: 'search',
    placeholder: t('list.search'),
    'aria-label': t('list.search'),
    spellcheck: 'false',
    value: place.query.get('search') ?? '',
  });
  const tags = h('input', {
    type: 'search',
    placeholder: t('list.tags'),
    'aria-label': t('list.tags'),
    spellcheck: 'false',
    value: place.query.get('tags') ?? '',
  });
  const show = (found) =>
    table({
      entity,
      records: found,
      columns: columns ?? visible(known.columns, found),
      render,
      open,
      edit: edit ?? ((record) => href(entity, keyOf(record), 'edit')),
      signal: place.signal,
      path: known.path,
      remove: async (record) => (await removed(entity, record, where)) && draw(),
    });

  const paged = async () => {
    const question = { search: search.value.trim(), tags: tags.value.trim() };
    const { data, offset: next } = await page(where, { size: SIZE, offset, ...question, ...options });
    if (data.length === 0 && before.length === 0) {
      if (question.search || question.tags) return nothing('search', t('nothing'));
      return nothing(
        entity,
        t(`empty.${entity}`),
        create !== null && createButton(create ?? href(entity, 'create'), t(`new.${entity}`)),
      );
    }
    return [
      show(data),
      (before.length > 0 || next) &&
        h(
          'nav',
          { class: 'pages', 'aria-label': t('list.pages') },
          h(
            'button',
            {
              disabled: before.length === 0,
              onclick: () => {
                offset = before.pop();
                draw();
              },
            },
            t('list.previous'),
          ),
          h('span', {}, t('list.page', { page: before.length + 1 })),
          h(
            'button',
            {
              disabled: !next,
              onclick: () => {
                before.push(offset);
                offset = next;
                draw();
              },
            },
            t('list.next'),
          ),
        ),
    ];
  };

  const read = async () => {
    drawn += 1;
    const own = drawn;
    // Which fields are secrets is known before anything is shown.
    await entitySchema(entity).catch(() => {});
    const content = await paged();
    if (own === drawn) replace(body, content);
  };
  const draw = () => read().catch((error) => place.signal.aborted || failed(error));
  const anew = debounced(150, () => {
    before.length = 0;
    offset = null;
    draw();
  });
  // Whoever comes back to this tab sees what was changed elsewhere in the meantime.
  const back = () => document.visibilityState === 'visible' && draw();
  document.addEventListener('visibilitychange', back, { signal: place.signal });
  search.addEventListener('input', anew);
  tags.addEventListener('input', anew);
  const tagged = known.columns.includes('tags');
  const filters =
    searchable &&
    h(
      'div',
      { class: 'filters', role: 'search' },
      h('label', {}, icon('search'), search),
      tagged && h('label', {}, icon('tag'), tags),
    );
  return { element: h('div', {}, filters, body), ready: read(), draw };
}

/** Columns in which nothing stands take no room, unless there is nothing to tell by. */
function visible(columns, found) {
  const optional = [
    'expression',
    'snis',
    'headers',
    'instance_name',
    'custom_id',
    'description',
    'path',
    'methods',
    'hosts',
  ];
  const says = (name, value) => value !== null && value !== undefined && !(name === 'protocols' && isUsual(value));
  return columns.filter(
    (name) => ![...optional, 'protocols'].includes(name) || found.some((record) => says(name, record[name])),
  );
}

/** Whether protocols are those that nobody has chosen. */
function isUsual(protocols) {
  return ['http,https', 'grpc,grpcs,http,https'].includes([...protocols].sort().join());
}
