/** The account of whoever is logged in: password, token, and what they may do. */

import { Refusal, get, send } from '../core/api.js';
import { login } from '../core/config.js';
import { h, replace } from '../core/dom.js';
import { t } from '../core/texts.js';
import { code } from '../parts/code.js';
import { heading, panel } from '../parts/page.js';
import { done, failed } from '../shell/toast.js';

/** Shows it. */
export async function show(place) {
  const { admin, groups, permissions, workspaces } = await get('/userinfo', { global: true, signal: place.signal });
  return [
    heading(admin.username ?? t('account'), { about: admin.email }),
    h(
      'div',
      { class: 'panels' },
      login === 'basic-auth' && panel(t('account.password'), passwordForm()),
      admin.id && panel(t('account.token'), tokenForm()),
      workspaces.length > 0 && panel(t('page.workspaces'), names(workspaces.map(({ name }) => name))),
      groups?.length > 0 && panel(t('page.groups'), names(groups)),
      panel(
        t('account.rights'),
        Object.keys(permissions.endpoints).length > 0
          ? code(JSON.stringify(permissions.endpoints, null, 2))
          : h('p', { class: 'count' }, t('account.none')),
      ),
    ),
  ];
}

function names(all) {
  return h(
    'span',
    { class: 'tokens' },
    all.map((name) => h('span', { class: 'token' }, name)),
  );
}

function passwordForm() {
  const [old, fresh, again] = ['account.old', 'account.new', 'account.again'].map((label, at) => ({
    label,
    input: h('input', {
      type: 'password',
      required: true,
      autocomplete: at === 0 ? 'current-password' : 'new-password',
    }),
  }));
  const error = h('p', { class: 'error', role: 'alert' });
  const submit = async (event) => {
    event.preventDefault();
    replace(error);
    if (fresh.input.value !== again.input.value) return replace(error, t('account.differ'));
    try {
      await send(
        'PATCH',
        '/admins/self/password',
        { old_password: old.input.value, password: fresh.input.value },
        { global: true },
      );
      event.target.reset();
      done(t('account.changed'));
    } catch (refusal) {
      if (refusal instanceof Refusal) replace(error, refusal.message);
      else failed(refusal);
    }
  };
  return h(
    'form',
    { onsubmit: submit },
    [old, fresh, again].map(({ label, input }) => h('label', { class: 'stacked' }, h('span', {}, t(label)), input)),
    error,
    h('button', { class: 'primary' }, t('save')),
  );
}

function tokenForm() {
  const shown = h('div', {});
  const renew = async () => {
    try {
      const { token } = await send('PATCH', '/admins/self/token', {}, { global: true });
      replace(shown, h('p', { class: 'count' }, t('account.token.once')), code(token));
    } catch (error) {
      failed(error);
    }
  };
  return h(
    'div',
    {},
    h('p', { class: 'count' }, t('account.token.words')),
    h('button', { onclick: renew }, t('account.token.new')),
    shown,
  );
}
