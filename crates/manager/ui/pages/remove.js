/** Deleting a record, after a question that says what goes with it. */

import { send } from '../core/api.js';
import { t } from '../core/texts.js';
import { curl } from '../entities/commands.js';
import { definition, keyOf, titleOf } from '../entities/definitions.js';
import { code } from '../parts/code.js';
import { confirmed } from '../shell/dialog.js';
import { done, failed } from '../shell/toast.js';

/** What the Admin API deletes along with a record. */
const CASCADES = ['consumers', 'consumer_groups', 'upstreams', 'certificates', 'rbac_roles', 'rbac_users', 'admins'];

/** Asks, and deletes; whether the record is gone. */
export async function removed(entity, record, where = definition(entity).path) {
  const path = `/${where}/${encodeURIComponent(keyOf(record))}`;
  const { global } = definition(entity);
  const words = [t('delete.sure'), CASCADES.includes(entity) && t('delete.cascade')].filter(Boolean).join(' ');
  const title = t('delete.title', { name: titleOf(record) });
  if (!(await confirmed(title, words, t('delete'), code(curl('DELETE', path, null, { global }), 'curl')))) return false;
  try {
    await send('DELETE', path, undefined, { global });
    done(t('deleted', { name: titleOf(record) }));
    return true;
  } catch (error) {
    failed(error);
    return false;
  }
}
