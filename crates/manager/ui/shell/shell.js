/** The frame around all pages. */

import { Away, Foreign, Refusal, scope } from '../core/api.js';
import { base, lineOf } from '../core/config.js';
import { h, replace } from '../core/dom.js';
import { emit, on } from '../core/events.js';
import { icon, logo } from '../core/icons.js';
import { bind, bound, listen } from '../core/keys.js';
import { isReadOnly, learnNode, ownWorkspaces } from '../core/node.js';
import { go, href, hrefIn, reload } from '../core/router.js';
import { t } from '../core/texts.js';
import { banner } from './away.js';
import { dialog } from './dialog.js';
import { navigation } from './navigation.js';
import { openSearch } from './search.js';
import { account, languageSwitch, themeSwitch, workspaceSwitch } from './switches.js';
import { toasts } from './toast.js';

/** After so many milliseconds people are told that they wait. */
const SLOW = 5000;
const main = h('main', { id: 'main', tabindex: '-1' });

/** Puts the frame together. */
export function frame() {
  const side = h('aside', {}, navigation());
  const open = h(
    'button',
    { class: 'plain narrow', 'aria-label': t('navigation'), 'aria-expanded': 'false' },
    icon('menu'),
  );
  const toggle = (shown) => {
    document.body.classList.toggle('with-navigation', shown);
    open.setAttribute('aria-expanded', String(shown));
  };
  open.addEventListener('click', () => toggle(!document.body.classList.contains('with-navigation')));
  on('page', () => toggle(false));
  const home = h(
    'a',
    { class: 'home', href: href('overview'), 'aria-label': 'Bascule' },
    logo(),
    h('span', {}, 'Bascule'),
  );
  on('page', () => {
    home.href = href('overview');
  });
  const search = h(
    'button',
    { class: 'search', 'aria-label': t('search'), onclick: openSearch },
    icon('search'),
    h('span', {}, t('search')),
    h('kbd', {}, '/'),
  );
  document.body.replaceChildren(
    ...[skip(), line('HEADER')].filter(Boolean),
    h(
      'header',
      { class: 'top' },
      open,
      home,
      workspaceSwitch(),
      search,
      h('div', { class: 'switches' }, languageSwitch(), themeSwitch(), account()),
    ),
    h('div', { class: 'body' }, side, h('div', { class: 'content' }, banner(), main)),
    toasts(),
    ...[line('FOOTER')].filter(Boolean),
  );
  bind('/', t('search'), openSearch);
  bind('?', t('keys'), showKeys);
  listen();
}

/** The way past the navigation. */
function skip() {
  // Below a base, the address of a part of this page is that of another page.
  const follow = (event) => {
    event.preventDefault();
    main.focus();
  };
  return h('a', { class: 'skip', href: '#main', onclick: follow }, t('skip'));
}

/** A line of the operator's own. */
function line(place) {
  const { text, background, color } = lineOf(place);
  const style = Object.fromEntries(Object.entries({ background, color }).filter(([, value]) => value));
  return text && h('p', { class: 'operator', style }, text);
}

/** Shows a page. One that fails says so, and is tried again when the Admin API is back. */
export async function display(place) {
  emit('page', { name: place.page?.under ?? place.name });
  const title = (words) => {
    document.title = `${words} · Bascule`;
  };
  title(t(`page.${place.name}`));
  const waiting = setTimeout(() => replace(main, h('div', { class: 'waiting', 'aria-busy': 'true' })), 250);
  const slow = setTimeout(() => place.signal.aborted || replace(main, stillWaiting()), SLOW);
  try {
    if (!place.page) throw new Refusal(404, { message: t('page.missing') });
    await learnNode();
    const [own] = ownWorkspaces();
    // Who comes without an address begins where they may look.
    if (own && location.pathname === base && !ownWorkspaces().includes(scope.workspace)) {
      clearTimeout(waiting);
      clearTimeout(slow);
      return go(hrefIn(own, 'overview'), { instead: true });
    }
    const element = await place.page.show({ ...place, title, workspace: scope.workspace });
    clearTimeout(waiting);
    clearTimeout(slow);
    if (place.signal.aborted) return;
    replace(main, isReadOnly() && place.page.isOfRecords && fromFile(), element);
    const heading = main.querySelector('h1');
    if (heading) title(heading.textContent);
    scrollTo(0, 0);
    (main.querySelector('[autofocus]') ?? main).focus({ preventScroll: true });
  } catch (error) {
    clearTimeout(waiting);
    clearTimeout(slow);
    if (place.signal.aborted) return;
    replace(main, failure(error, place));
    if (error instanceof Away) on('back', reload, place.signal);
    else if (!(error instanceof Refusal)) console.error(error);
  }
}

/** Why records can only be read, and what can be done about it. */
function fromFile() {
  return h(
    'p',
    { class: 'panel note' },
    icon('info'),
    h('span', {}, t('readonly.words'), ' ', h('a', { href: href('files') }, t('readonly.import'))),
  );
}

/** What stands there while an answer takes its time. */
function stillWaiting() {
  return h(
    'section',
    { class: 'empty', 'aria-busy': 'true' },
    h('span', { class: 'spinner', 'aria-hidden': 'true' }),
    h('p', {}, t('away.slow')),
    h('p', {}, againButton()),
  );
}

function failure(error, place) {
  const absent = error instanceof Refusal && error.status === 404 && !(error instanceof Foreign);
  const nothing = absent && error.body?.message === 'Not found';
  const words = error instanceof Away ? '' : nothing ? t('missing.words') : error.message;
  const list = place.page?.isOfRecords ? place.name : 'overview';
  return h(
    'section',
    { class: 'empty' },
    icon('warning'),
    h('h1', {}, absent ? t('missing') : error instanceof Away ? t('away.page') : t('failed')),
    h('p', {}, words),
    h('p', {}, absent ? h('a', { class: 'button', href: href(list) }, t(`page.${list}`)) : againButton()),
  );
}

function againButton() {
  return h('button', { onclick: reload }, icon('refresh'), t('again'));
}

function showKeys() {
  dialog(t('keys'), () =>
    h(
      'dl',
      { class: 'keys' },
      bound().map(({ keys, label }) =>
        h(
          'div',
          {},
          h(
            'dt',
            {},
            keys.split(' ').map((key) => h('kbd', {}, key)),
          ),
          h('dd', {}, label),
        ),
      ),
    ),
  );
}
