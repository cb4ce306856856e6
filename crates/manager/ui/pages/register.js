/**
 * The pages that links to administrators lead to: whoever was invited, or has forgotten the password, chooses one. It is
 * all that such a person sees.
 */

import { Refusal, send } from '../core/api.js';
import { base } from '../core/config.js';
import { h, replace } from '../core/dom.js';
import { logo } from '../core/icons.js';
import { t } from '../core/texts.js';

/** What becomes of the password, by where a link leads to. */
const LINKS = {
  register: { method: 'POST', path: '/admins/register', title: 'register.title', button: 'page.register' },
  'account/reset-password': { method: 'PATCH', path: '/admins/password_resets', title: 'reset.title', button: 'save' },
};

/** The link that this page was opened by, if it is one of these. */
export function linkedBy() {
  return LINKS[location.pathname.slice(base.length)] ?? null;
}

/** Shows the page of a link in the place of everything. */
export function choosePassword(link) {
  const given = new URLSearchParams(location.search);
  document.title = `${t('page.register')} · Bascule`;
  const [password, again] = [0, 1].map(() =>
    h('input', { type: 'password', required: true, minlength: 8, autocomplete: 'new-password' }),
  );
  const error = h('p', { class: 'error', role: 'alert' });
  const submit = async (event) => {
    event.preventDefault();
    replace(error);
    if (password.value !== again.value) return replace(error, t('account.differ'));
    try {
      const content = {
        email: given.get('email') || undefined,
        username: given.get('username') || given.get('email'),
        token: given.get('token'),
        password: password.value,
      };
      await send(link.method, link.path, content, { global: true, anonymous: true });
      replace(
        form,
        logo(),
        h('p', {}, t('register.done')),
        h('a', { class: 'button primary', href: base }, t('login.enter')),
      );
    } catch (refusal) {
      replace(
        error,
        refusal instanceof Refusal && refusal.status === 401 ? t('register.old') : refusal.message || t('away.unsent'),
      );
    }
  };
  const form = h(
    'form',
    { class: 'login', onsubmit: submit },
    logo(),
    h('h1', {}, t(link.title, { name: given.get('username') || given.get('email') || '' })),
    h('label', { class: 'stacked' }, h('span', {}, t('account.new')), password),
    h('label', { class: 'stacked' }, h('span', {}, t('account.again')), again),
    error,
    h('footer', {}, h('button', { class: 'primary' }, t(link.button))),
  );
  document.body.replaceChildren(h('main', { class: 'alone' }, h('section', { class: 'panel' }, form)));
}
