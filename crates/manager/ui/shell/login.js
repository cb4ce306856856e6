/** Logging in, over the page that somebody was on: what was on it is still there afterwards. */

import { Refusal, raw, send, useToken } from '../core/api.js';
import { api, banner, base, hasSessions, isKnownElsewhere, login, userHeader } from '../core/config.js';
import { h, replace } from '../core/dom.js';
import { on } from '../core/events.js';
import { logo } from '../core/icons.js';
import { t } from '../core/texts.js';
import { dialog } from './dialog.js';
import { done, failed } from './toast.js';

/** What this tab keeps while it is at the provider: where it was, or that it is there for another one. */
const [RETURN, FOR_ANOTHER] = ['bascule.return', 'bascule.login'];
/** On which windows tell each other that somebody has logged in. */
const CHANNEL = 'bascule.login';

/** What has come of a login at a provider, if this page was opened by one: `refused` or `failed`. */
let outcome = null;

/** Asks whoever has to log in. */
export function watchForLogin() {
  const ways = { token: byToken, 'openid-connect': byProvider };
  on('enter', async (entered) => {
    await dialog(t('login.title'), ways[login] ?? byPassword, { fixed: true });
    entered();
  });
}

/** Goes to the provider, or on from there, if this page is there for that; whether there is nothing else to show. */
export function passThrough() {
  if (login !== 'openid-connect') return false;
  const query = new URLSearchParams(location.search);
  const asked = query.get('login');
  if (asked === 'begin') {
    sessionStorage.setItem(FOR_ANOTHER, 'true');
    location.replace(`${api}/auth`);
    return true;
  }
  outcome = asked;
  const [forAnother, there] = [FOR_ANOTHER, RETURN].map((key) => {
    const value = sessionStorage.getItem(key);
    sessionStorage.removeItem(key);
    return value;
  });
  if (forAnother && !outcome) {
    new BroadcastChannel(CHANNEL).postMessage('entered');
    const words = h('section', { class: 'panel' }, h('p', {}, t('login.entered')));
    replace(document.body, h('main', { class: 'alone' }, words));
    close();
    return true;
  }
  if (asked || there) history.replaceState(null, '', there ?? base);
  return false;
}

/** Ends the session, and begins anew. */
export async function logOut() {
  if (login === 'openid-connect') return leaveProvider();
  if (hasSessions) await raw('DELETE', '/auth?session_logout=true', undefined, { anonymous: true });
  useToken(null);
  location.reload();
}

function leaveProvider() {
  location.assign(`${api}/auth?openid_logout=true`);
}

/** The provider has pages of its own: in this window, or in another one while there is something here to be kept. */
function byProvider(close) {
  const isFirst = document.querySelector('main h1') === null;
  const enter = async () => {
    if (isFirst) {
      sessionStorage.setItem(RETURN, location.href);
      location.assign(`${api}/auth`);
      // This page goes away.
      return new Promise(() => {});
    }
    const told = new BroadcastChannel(CHANNEL);
    told.onmessage = () => {
      told.close();
      close();
    };
    window.open(`${base}?login=begin`, '_blank', 'popup,width=560,height=760');
  };
  const refused = outcome;
  outcome = null;
  const another = refused === 'refused' && h('button', { type: 'button', onclick: leaveProvider }, t('login.another'));
  const element = form([h('p', {}, t('login.provider'))], enter, another);
  if (refused) replace(element.querySelector('.error'), t(refused === 'refused' ? 'login.unknown' : 'login.failed'));
  return element;
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
      const words = { 401: 'login.wrong', 503: 'login.failed' }[answer.status];
      if (!answer.ok) throw new Refusal(answer.status, words && { message: t(words) });
      close();
    },
    !isKnownElsewhere && h('button', { type: 'button', class: 'plain link', onclick: forgot }, t('login.forgot')),
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
