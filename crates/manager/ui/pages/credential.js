/** A credential of a consumer on a page of its own, where its secrets can be shown and copied, and its forms. */

import { h } from '../core/dom.js';
import { endpoints } from '../core/endpoints.js';
import { icon } from '../core/icons.js';
import { isReadOnly } from '../core/node.js';
import { go, href } from '../core/router.js';
import { entitySchema } from '../core/schemas.js';
import { known, t } from '../core/texts.js';
import { titleOf } from '../entities/definitions.js';
import { labelOf } from '../entities/labels.js';
import { one } from '../entities/records.js';
import { form } from '../forms/form.js';
import { copyButton } from '../parts/code.js';
import { heading, linkButton, panel } from '../parts/page.js';
import { record as fieldsOf } from '../parts/value.js';
import { done } from '../shell/toast.js';
import { editPage } from './edit.js';
import { removed } from './remove.js';

/** The kinds of credentials that the node has, by entity: the path below a consumer. */
export async function kinds() {
  const found = new Map();
  for (const path of await endpoints()) {
    const match = /^\/consumers\/\{consumers\}\/([^/]+)\/\{([^}]+)\}$/.exec(path);
    if (match && !['plugins', 'consumer_groups'].includes(match[1])) found.set(match[2], match[1]);
  }
  return found;
}

/** What a kind of credentials is called. */
export function kindName(entity) {
  return known(`page.${entity}`) ?? labelOf(entity);
}

/** The address of a credential's page. */
export function addressOf(consumer, entity, record) {
  return href('consumers', consumer, 'credentials', entity, record.id);
}

/** The page of a credential, the form of a new one (without an id), or the one that changes it. */
export async function credentialPage(place) {
  const [key, , entity, id, action] = place.parts;
  const [consumer, paths] = await Promise.all([one('consumers', key, { signal: place.signal }), kinds()]);
  const path = `consumers/${consumer.id}/${paths.get(entity)}`;
  const back = `${href('consumers', consumer.id)}?view=credentials`;
  const trail = [
    [href('consumers'), t('page.consumers')],
    [back, titleOf(consumer, 'consumers')],
  ];
  const about = { entity, consumer, path, back, trail };
  if (id === undefined) return newCredential(about);
  if (action !== 'edit') return shownCredential(place, id, about);
  return editPage({ ...place, parts: [id] }, entity, {
    path,
    parent: consumer,
    trail,
    back: addressOf(consumer.id, entity, { id }),
    without: ['consumer'],
  });
}

async function shownCredential(place, id, { entity, consumer, path, back, trail }) {
  const [{ fields }, record] = await Promise.all([entitySchema(entity), one(path, id, { signal: place.signal })]);
  const remove = async () => {
    if (await removed(entity, record, path)) go(back, { instead: true });
  };
  return [
    heading(titleOf(record, entity), {
      trail,
      mark: h(
        'span',
        { class: 'id' },
        h('code', {}, record.id),
        copyButton(() => record.id, t('copy.id')),
      ),
      actions: !isReadOnly() && [
        linkButton(`${addressOf(consumer.id, entity, record)}/edit`, 'edit', t('edit')),
        h('button', { class: 'danger', onclick: remove }, icon('trash'), t('delete')),
      ],
    }),
    panel(kindName(entity), fieldsOf(fields, record, place.signal, true)),
  ];
}

async function newCredential({ entity, consumer, path, back, trail }) {
  const schema = await entitySchema(entity);
  return [
    heading(known(`new.${entity}`) ?? kindName(entity), { trail }),
    form({
      entity,
      fields: schema.fields,
      without: ['consumer'],
      method: 'POST',
      parent: consumer,
      cancel: back,
      path: `/${path}`,
      saved: (record) => {
        done(t('created', { name: titleOf(record, entity) }));
        // What the node has made up is to be seen there.
        go(addressOf(consumer.id, entity, record));
      },
    }),
  ];
}
