/** The list of an entity: read page by page from the node, filtered by tags there, and searched. */

import { debounced, h, replace } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { href } from '../core/router.js';
import { number, t } from '../core/texts.js';
import { definition, keyOf } from '../entities/definitions.js';
import { SEARCHED, all, matching, one, page } from '../entities/records.js';
import { createButton, heading, nothing } from '../parts/page.js';
import { table } from '../parts/table.js';
import { failed } from '../shell/toast.js';
import { removed } from './remove.js';

const SIZE = 50;
/** How many of what a search finds are shown. */
const SHOWN = 200;

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
    const { data, offset: next } = await page(where, { size: SIZE, offset, tags: tags.value.trim(), ...options });
    if (data.length === 0 && before.length === 0) {
      return nothing(
        entity,
        tags.value ? t('nothing') : t(`empty.${entity}`),
        create !== null && !tags.value && createButton(create ?? href(entity, 'create'), t(`new.${entity}`)),
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

  const searched = async (question) => {
    const everything = await all(where, options);
    const found = matching(everything, question);
    if (found.length === 0 && everything.more)
      found.push(
        ...(await one(where, question, options).then(
          (r) => [r],
          () => [],
        )),
      );
    if (found.length === 0) return nothing('search', t('nothing'));
    return [
      h(
        'p',
        { class: 'count' },
        t('list.found', { count: number(found.length) }),
        everything.more && ` ${t('list.limited', { count: number(SEARCHED) })}`,
      ),
      show(found.slice(0, SHOWN)),
    ];
  };

  const draw = async () => {
    try {
      const question = search.value.trim();
      const content = question ? await searched(question) : await paged();
      if (question === search.value.trim()) replace(body, content);
    } catch (error) {
      if (!place.signal.aborted) failed(error);
    }
  };
  const anew = debounced(150, () => {
    before.length = 0;
    offset = null;
    draw();
  });
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
  return { element: h('div', {}, filters, body), ready: draw(), draw };
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
  return columns.filter(
    (name) => !optional.includes(name) || found.some((record) => record[name] !== null && record[name] !== undefined),
  );
}
