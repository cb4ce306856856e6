/** The form of an entity on a page of its own, to create a record or to change one. */

import { go, href } from '../core/router.js';
import { combined, entitySchema, pluginSchema, vaultSchema } from '../core/schemas.js';
import { t } from '../core/texts.js';
import { definition, keyOf, titleOf } from '../entities/definitions.js';
import { pluginTitle } from '../entities/plugins.js';
import { one } from '../entities/records.js';
import { form } from '../forms/form.js';
import { heading } from '../parts/page.js';
import { done } from '../shell/toast.js';

/** Fields of which forms know nothing good. */
const WITHOUT = {
  certificates: [],
  admins: ['status', 'password', 'invitation', 'invited_at', 'rbac_user'],
  rbac_users: ['user_token_ident'],
  rbac_roles: ['is_default'],
  ca_certificates: ['cert_digest'],
  plugins: ['name'],
  workspaces: ['meta', 'config'],
};

/** The fields of a record: those of its entity, with those of its plugin or vault. */
export async function fieldsFor(entity, record) {
  const outer = await entitySchema(entity);
  if (entity === 'plugins') return combined(outer, await pluginSchema(record.name)).fields;
  if (entity === 'vaults' && record?.name) return combined(outer, await vaultSchema(record.name)).fields;
  return outer.fields;
}

/** The page that creates a record. Foreign keys may stand in the query: `?service=ID`. */
export async function createPage(place, entity, { fixed = {}, title, trail, path, back, parent, without } = {}) {
  const fields = await fieldsFor(entity, fixed);
  const known = definition(entity);
  const foreign = fields.filter((field) => field.type === 'foreign' && place.query.has(field.name));
  const given = Object.fromEntries(foreign.map((field) => [field.name, { id: place.query.get(field.name) }]));
  const owner = foreign[0];
  const from = owner ? `${href(owner.reference, place.query.get(owner.name))}?view=${entity}` : href(entity);
  return [
    heading(title ?? t(`new.${entity}`), {
      trail: trail ?? [[href(entity), t(`page.${entity}`)]],
      about: t(`about.${entity}`),
    }),
    form({
      entity,
      fields,
      given,
      fixed,
      parent,
      without: without ?? WITHOUT[entity],
      method: 'POST',
      path: `/${path ?? known.path}`,
      options: { global: known.global },
      cancel: back ?? from,
      saved: (answer) => {
        const record = answer.admin ?? answer;
        done(t('created', { name: titleOf(record, entity) }), { href: href(entity, keyOf(record)), words: t('open') });
        go(back ?? (owner ? from : href(entity, keyOf(record))));
      },
    }),
  ];
}

/** The page that changes a record. */
export async function editPage(place, entity, { path, parent, trail, back: to, without } = {}) {
  const known = definition(entity);
  const where = path ?? known.path;
  const record = await one(where, place.parts[0], { signal: place.signal, global: known.global });
  const fields = await fieldsFor(entity, record);
  const name = entity === 'plugins' ? pluginTitle(record.name) : titleOf(record, entity);
  const back = to ?? href(entity, keyOf(record));
  return [
    heading(t('edit.named', { name }), {
      trail: trail ?? [
        [href(entity), t(`page.${entity}`)],
        [back, name],
      ],
    }),
    form({
      entity,
      fields,
      record,
      parent,
      without: without ?? WITHOUT[entity],
      method: 'PATCH',
      path: `/${where}/${encodeURIComponent(keyOf(record))}`,
      options: { global: known.global },
      cancel: back,
      saved: (answer) => {
        done(t('saved', { name: titleOf(answer, entity) }));
        go(back);
      },
    }),
  ];
}
