/** Deleting a record, after a question that says what goes with it. */

import { get, send } from '../core/api.js';
import { href, hrefIn } from '../core/router.js';
import { t } from '../core/texts.js';
import { curl } from '../entities/commands.js';
import { definition, keyOf, titleOf } from '../entities/definitions.js';
import { page } from '../entities/records.js';
import { code } from '../parts/code.js';
import { confirmed, explained } from '../shell/dialog.js';
import { done, failed } from '../shell/toast.js';

/** What the Admin API deletes along with a record of an entity: what can be counted, and whether there is more. */
const CASCADES = {
  services: [['plugins'], false],
  routes: [['plugins'], false],
  consumers: [['plugins'], true],
  consumer_groups: [['plugins'], true],
  upstreams: [['targets'], false],
  certificates: [['snis'], false],
  key_sets: [['keys'], false],
  rbac_roles: [[], true],
  rbac_users: [[], true],
  admins: [[], true],
};
/** What no workspace may have that is deleted: what has a page of its own there. */
const COUNTED_AGAINST = [
  ...['services', 'routes', 'consumers', 'consumer_groups', 'plugins', 'upstreams'],
  ...['certificates', 'snis', 'keys', 'key_sets', 'vaults'],
];
/** So many are counted. */
const COUNTED = 1000;

/** Asks, and deletes; whether the record is gone. */
export async function removed(entity, record, where = definition(entity).path) {
  const path = `/${where}/${encodeURIComponent(keyOf(record))}`;
  const { global } = definition(entity);
  const title = t('delete.title', { name: titleOf(record, entity) });
  const against = await obstacle(entity, record, path).catch(() => null);
  if (against) {
    await explained(title, t('delete.full', { what: against.what }), against.address, t('delete.look'));
    return false;
  }
  const words = [t('delete.sure'), ...(await consequences(entity, record, path, global))].join(' ');
  if (!(await confirmed(title, words, t('delete'), code(curl('DELETE', path, null, { global }), 'curl')))) return false;
  try {
    await send('DELETE', path, undefined, { global });
    done(t('deleted', { name: titleOf(record, entity) }));
    return true;
  } catch (error) {
    failed(error);
    return false;
  }
}

/** What the Admin API would refuse a deletion for, and where that is; null: nothing that is known. */
async function obstacle(entity, record, path) {
  if (entity === 'services') {
    const { data } = await page(`${path.slice(1)}/routes`, { size: 1 });
    return data.length > 0 ? { what: t('page.routes'), address: `${href(entity, keyOf(record))}?view=routes` } : null;
  }
  if (entity !== 'workspaces') return null;
  const { counts } = await get(`${path}/meta`, { global: true });
  const full = COUNTED_AGAINST.filter((child) => counts[child] > 0);
  const what = full.map((child) => `${t(`page.${child}`)} (${counts[child]})`).join(', ');
  return full.length > 0 ? { what, address: hrefIn(record.name, full[0]) } : null;
}

/** What goes with it. */
async function consequences(entity, record, path, global) {
  const [counted, more] = CASCADES[entity] ?? [[], false];
  const count = async (child, most) => {
    const { data, offset } = await page(`${path.slice(1)}/${child}`, { size: most, global });
    return [data.length, offset !== null];
  };
  try {
    const found = await Promise.all(counted.map((child) => count(child, COUNTED)));
    const listed = found
      .map(([number, others], at) => number > 0 && `${t(`page.${counted[at]}`)} (${number}${others ? '+' : ''})`)
      .filter(Boolean);
    return [
      listed.length > 0 && t('delete.with', { what: listed.join(', ') }),
      more && t('delete.cascade'),
    ].filter(Boolean);
  } catch {
    // Whoever may not see it is told in general.
    return counted.length > 0 || more ? [t('delete.cascade')] : [];
  }
}
