/** Deleting a record, after a question that says what goes with it. */

import { send } from '../core/api.js';
import { t } from '../core/texts.js';
import { curl } from '../entities/commands.js';
import { definition, keyOf, titleOf } from '../entities/definitions.js';
import { page } from '../entities/records.js';
import { code } from '../parts/code.js';
import { confirmed } from '../shell/dialog.js';
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
/** So many are counted. */
const COUNTED = 1000;

/** Asks, and deletes; whether the record is gone. */
export async function removed(entity, record, where = definition(entity).path) {
  const path = `/${where}/${encodeURIComponent(keyOf(record))}`;
  const { global } = definition(entity);
  const words = [t('delete.sure'), ...(await consequences(entity, record, path, global))].join(' ');
  const title = t('delete.title', { name: titleOf(record, entity) });
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

/** What goes with it, and what stands against it. */
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
    const hasRoutes = entity === 'services' && (await count('routes', 1))[0] > 0;
    return [
      listed.length > 0 && t('delete.with', { what: listed.join(', ') }),
      more && t('delete.cascade'),
      hasRoutes && t('delete.routes'),
    ].filter(Boolean);
  } catch {
    // Whoever may not see it is told in general.
    return counted.length > 0 || more ? [t('delete.cascade')] : [];
  }
}
