/** The list of an entity: read page by page from the node, filtered by tags there, and searched. */

import { Refusal } from '../core/api.js';
import { debounced, h, replace } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { href, keepInAddress } from '../core/router.js';
import { entitySchema } from '../core/schemas.js';
import { t } from '../core/texts.js';
import { definition, keyOf } from '../entities/definitions.js';
import { page } from '../entities/records.js';
import { createButton, heading, nothing } from '../parts/page.js';
import { table } from '../parts/table.js';
import { failed } from '../shell/toast.js';
import { removed } from './remove.js';

const SIZE = 50;

/** Where pages of lists begin by where the next ones do: the Admin API tells the way forward alone. */
const earlier = new Map();

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
  // A list within another page has no part in the address.
  const given = (name) => (searchable ? place.query.get(name) : null);
  // Of several answers that of the last question counts.
  let drawn = 0;
  let offset = given('offset');
  let number = (offset && Number(given('page'))) || 1;
  const body = h('div', { class: 'listed', 'aria-live': 'polite' });
  const search = h('input', {
    type: 'search',
    placeholder: t('list.search'),
    'aria-label': t('list.search'),
    spellcheck: 'false',
    value: given('search') ?? '',
  });
  const tags = h('input', {
    type: 'search',
    placeholder: t('list.tags'),
    'aria-label': t('list.tags'),
    spellcheck: 'false',
    value: given('tags') ?? '',
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

  const turn = (to, at) => {
    [offset, number] = [to, at];
    keepPlace();
    draw();
  };
  const keepPlace = () => {
    const shown = { offset, page: offset && String(number), search: search.value.trim(), tags: tags.value.trim() };
    if (searchable) for (const [name, value] of Object.entries(shown)) keepInAddress(name, value);
  };
  const keptAs = (at) => [where, search.value, tags.value, at].join('\n');
  const previous = () => {
    const known = earlier.has(keptAs(offset));
    turn(known ? earlier.get(keptAs(offset)) : null, known ? number - 1 : 1);
  };

  const paged = async () => {
    const question = { search: search.value.trim(), tags: tags.value.trim() };
    const { data, offset: next } = await page(where, { size: SIZE, offset, ...question, ...options });
    if (next) earlier.set(keptAs(next), offset);
    if (data.length === 0 && !offset) {
      if (question.search || question.tags) return nothing('search', t('nothing'));
      return nothing(
        entity,
        t(`empty.${entity}`),
        create !== null && createButton(create ?? href(entity, 'create'), t(`new.${entity}`)),
      );
    }
    return [
      show(data),
      (offset || next) &&
        h(
          'nav',
          { class: 'pages', 'aria-label': t('list.pages') },
          h('button', { disabled: !offset, onclick: previous }, t('list.previous')),
          h('span', {}, t('list.page', { page: number })),
          h('button', { disabled: !next, onclick: () => turn(next, number + 1) }, t('list.next')),
        ),
    ];
  };

  const read = async () => {
    drawn += 1;
    const own = drawn;
    // Which fields are secrets is known before anything is shown.
    await entitySchema(entity).catch(() => {});
    const content = await paged().catch(refused);
    if (own === drawn) replace(body, content);
  };
  // A question that cannot be asked stays, so that it can be put otherwise.
  const refused = (error) => {
    if (error instanceof Refusal && error.status === 400) return nothing('warning', error.message);
    throw error;
  };
  const draw = () => read().catch((error) => place.signal.aborted || failed(error));
  const anew = debounced(150, () => {
    if (!place.signal.aborted) turn(null, 1);
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
