/** Logging in, over the page that somebody was on: what was on it is still there afterwards. */

import { Refusal, raw, send, useToken } from '../core/api.js';
import { banner, login, userHeader } from '../core/config.js';
import { h, replace } from '../core/dom.js';
import { on } from '../core/events.js';
import { logo } from '../core/icons.js';
import { t } from '../core/texts.js';
import { dialog } from './dialog.js';
import { done, failed } from './toast.js';

/** Asks whoever has to log in. */
export function watchForLogin() {
  on('enter', async (entered) => {
    await dialog(t('login.title'), login === 'basic-auth' ? byPassword : byToken, { fixed: true });
    entered();
  });
}

/** Ends the session, and begins anew. */
export async function logOut() {
  if (login === 'basic-auth') await raw('DELETE', '/auth?session_logout=true', undefined, { anonymous: true });
  useToken(null);
  location.reload();
}

function byPassword(close) {
  const name = input('username', t('login.name'), 'text', 'username');
  const password = input('password', t('login.password'), 'password', 'current-password');
  return form(
    [name, password],
    async () => {
      const pair = `${name.querySelector('input').value}:${password.querySelector('input').value}`;
      const encoded = btoa(String.fromCharCode(...new TextEncoder().encode(pair)));
      const headers = { Authorization: `Basic ${encoded}`, [userHeader]: name.querySelector('input').value };
      const answer = await raw('GET', '/auth', undefined, { headers, anonymous: true });
      if (!answer.ok) throw new Refusal(answer.status, { message: t('login.wrong') });
      close();
    },
    h('button', { type: 'button', class: 'plain link', onclick: forgot }, t('login.forgot')),
  );
}

/** Asks for a new password, of which the node's operator is told. */
async function forgot() {
  const email = await dialog(t('login.forgot'), (closed) => {
    const address = h('input', { type: 'email', required: true, autocomplete: 'email' });
    return h(
      'form',
      {
        onsubmit: (event) => {
          event.preventDefault();
          closed(address.value);
        },
      },
      h('p', {}, t('login.forgot.words')),
      h('label', { class: 'stacked' }, h('span', {}, t('field.email')), address),
      h('footer', {}, h('button', { class: 'primary' }, t('login.ask'))),
    );
  });
  if (!email) return;
  try {
    await send('POST', '/admins/password_resets', { email }, { global: true, anonymous: true });
    done(t('login.asked'));
  } catch (error) {
    failed(error);
  }
}

function byToken(close) {
  const token = input('token', t('login.token'), 'password', 'off');
  return form([token], async () => {
    useToken(token.querySelector('input').value.trim());
    const answer = await raw('GET', '/userinfo', undefined, { anonymous: true });
    if (answer.ok) return close();
    useToken(null);
    throw new Refusal(answer.status, { message: t('login.wrong') });
  });
}

function form(fields, enter, beside) {
  const error = h('p', { class: 'error', role: 'alert' });
  const button = h('button', { class: 'primary' }, t('login.enter'));
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    replace(error);
    try {
      await enter();
    } catch (refusal) {
      replace(error, refusal instanceof Refusal ? refusal.message : t('away.unsent'));
    } finally {
      button.disabled = false;
    }
  };
  const words = [banner.title && h('h3', {}, banner.title), banner.body && h('p', {}, banner.body)];
  return h('form', { class: 'login', onsubmit: submit }, logo(), words, fields, error, h('footer', {}, beside, button));
}

function input(name, label, type, autocomplete) {
  return h(
    'label',
    { class: 'stacked' },
    h('span', {}, label),
    h('input', { name, type, autocomplete, required: true, spellcheck: 'false' }),
  );
}
