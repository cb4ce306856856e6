/** All pages, by the first word of their addresses. */

import { aliases, entities } from '../entities/definitions.js';
import { createPage, editPage } from './edit.js';
import { detailPage } from './detail.js';
import { listPage } from './list.js';
import { newPluginPage, pluginColumns, selectPage } from './plugins.js';
import { consumerGroupPage, consumerPage } from './consumer.js';
import { editTargetPage, newTargetPage } from './target.js';
import { upstreamPage } from './upstream.js';
import { newVaultPage } from './vault.js';
import { adminPage, userPage } from './access.js';
import { groupPage } from './groups.js';
import { rolePage } from './rules.js';
import * as access from './access.js';
import * as account from './account.js';
import * as changes from './changes.js';
import * as expressions from './expressions.js';
import * as files from './files.js';
import * as live from './live.js';
import * as map from './map.js';
import * as node from './node.js';
import * as overview from './overview.js';
import * as trace from './trace.js';

/** The pages of an entity: its list, the form of a new record, one record, and the form that changes it. */
function entityPages(entity, { list, detail, create, edit, under = entity } = {}) {
  return {
    under,
    isOfRecords: true,
    show: (place) => {
      const [key, action] = place.parts;
      if (key === undefined) return listPage(place, entity, list);
      if (key === 'create') return (create ?? createPage)(place, entity);
      if (key === 'select' && entity === 'plugins') return selectPage(place);
      if (action === 'edit') return (edit ?? editPage)(place, entity);
      return (detail ?? detailPage)(place, entity);
    },
  };
}

const special = {
  admins: { detail: adminPage, under: 'access' },
  groups: { detail: groupPage, under: 'access' },
  rbac_roles: { detail: rolePage, under: 'access' },
  rbac_users: { detail: userPage, under: 'access' },
  consumers: { detail: consumerPage },
  consumer_groups: { detail: consumerGroupPage },
  plugins: { list: { ...pluginColumns() }, create: newPluginPage },
  targets: { create: newTargetPage, edit: editTargetPage, under: 'upstreams' },
  upstreams: { detail: upstreamPage },
  vaults: { create: newVaultPage },
};

const ofEntities = Object.keys(entities).map((entity) => [entity, entityPages(entity, special[entity])]);

/** Pages by name. */
export const pages = {
  overview,
  live,
  map,
  trace,
  expressions,
  changes,
  files,
  access,
  account,
  node,
  ...Object.fromEntries(ofEntities),
  ...Object.fromEntries(
    Object.entries(aliases).map(([alias, entity]) => [alias, entityPages(entity, special[entity])]),
  ),
};
