/** The switches at the top: workspace, language, colours, and who is logged in. */

import { Refusal, get, scope } from '../core/api.js';
import { base, login } from '../core/config.js';
import { h, replace } from '../core/dom.js';
import { on } from '../core/events.js';
import { icon } from '../core/icons.js';
import { learnNode, ownWorkspaces } from '../core/node.js';
import { chooseTheme, theme } from '../core/preferences.js';
import { go, href, hrefIn, mayReload } from '../core/router.js';
import { chooseLanguage, language, languages, t } from '../core/texts.js';
import { menu } from '../parts/menu.js';
import { logOut } from './login.js';

/** Chooses among workspaces. The page stays the same where each workspace has it. */
export function workspaceSwitch() {
  const select = h('select', {
    'aria-label': t('workspace'),
    onchange: () => {
      const page = location.pathname.slice(base.length).split('/').filter(Boolean);
      const kept = page[0] === scope.workspace ? page[1] : page[0];
      go(hrefIn(select.value, kept ?? 'overview'));
      // Who stays on the page stays in its workspace.
      select.value = scope.workspace;
    },
  });
  const element = h('label', { class: 'workspace' }, icon('workspaces'), select);
  let names = [];
  // Whoever may not list workspaces is in one all the same.
  const show = () => {
    const { workspace } = scope;
    const offered = names.includes(workspace) ? names : [...names, workspace];
    replace(
      select,
      offered.map((name) => h('option', { value: name }, name)),
    );
    select.value = workspace;
  };
  const draw = async () => {
    names = await workspaces();
    show();
  };
  const refresh = () => draw().catch(() => {});
  on('page', show);
  on('written', ({ path }) => path.startsWith('/workspaces') && refresh());
  on('back', refresh);
  refresh();
  return element;
}

/** The names of workspaces: of all, or of those that may be seen. */
async function workspaces() {
  try {
    const { data } = await get('/workspaces?size=1000', { global: true });
    return data.map((workspace) => workspace.name);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    await learnNode();
    return ownWorkspaces();
  }
}

/** A menu below a picture. */
function pictured(picture, label, items) {
  return menu(icon(picture), items, { label });
}

/** Colours: those of the system, or always the same. */
export function themeSwitch() {
  const choices = [
    [null, 'system'],
    ['light', 'sun'],
    ['dark', 'moon'],
  ];
  const element = h('span', { class: 'switch' });
  const draw = () => {
    const [, picture] = choices.find(([name]) => name === theme());
    replace(
      element,
      pictured(
        picture,
        t('theme'),
        choices.map(([name, one]) =>
          h(
            'button',
            {
              'aria-pressed': String(name === theme()),
              onclick: () => {
                chooseTheme(name);
                draw();
              },
            },
            icon(one),
            t(`theme.${name ?? 'system'}`),
          ),
        ),
      ),
    );
  };
  draw();
  return element;
}

/** Languages. */
export function languageSwitch() {
  return pictured(
    'language',
    t('language'),
    Object.entries(languages).map(([name, own]) =>
      h(
        'button',
        {
          lang: name,
          'aria-pressed': String(name === language),
          onclick: () => mayReload() && chooseLanguage(name),
        },
        own,
      ),
    ),
  );
}

/** Who is logged in, and the way out. */
export function account() {
  if (login === 'none') return null;
  const element = h('span', { class: 'switch' });
  const draw = async () => {
    const { admin } = await get('/userinfo', { global: true });
    replace(
      element,
      pictured('user', t('account'), [
        h('p', { class: 'who' }, admin.username),
        h('a', { href: href('account') }, icon('key'), t('account.open')),
        h('button', { onclick: () => logOut() }, icon('leave'), t('account.leave')),
      ]),
    );
  };
  draw().catch(() => {});
  on('back', () => draw().catch(() => {}));
  return element;
}
