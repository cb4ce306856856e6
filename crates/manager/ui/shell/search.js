/** The search over everything: pages, actions, and records by name, host, path, tag or id. */

import { debounced, h, replace } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { isReadOnly } from '../core/node.js';
import { go, href } from '../core/router.js';
import { t } from '../core/texts.js';
import { definition, keyOf, titleOf } from '../entities/definitions.js';
import { pluginTitle } from '../entities/plugins.js';
import { page } from '../entities/records.js';
import { groups } from './navigation.js';

/** Entities that are looked through. */
const ENTITIES = [
  'services',
  'routes',
  'consumers',
  'consumer_groups',
  'plugins',
  'upstreams',
  'certificates',
  'snis',
  'keys',
  'key_sets',
  'vaults',
];
/** Those that a form can be opened for from here. */
const CREATED = ['services', 'routes', 'consumers', 'upstreams', 'certificates'];
const SHOWN = 8;

/** Opens the search. */
export function openSearch() {
  if (document.querySelector('dialog.palette')) return;
  const input = h('input', {
    type: 'search',
    role: 'combobox',
    'aria-expanded': 'true',
    'aria-controls': 'found',
    'aria-label': t('search'),
    placeholder: t('search.words'),
    spellcheck: 'false',
    autocomplete: 'off',
  });
  const list = h('ul', { id: 'found', role: 'listbox', 'aria-label': t('search') });
  const element = h(
    'dialog',
    { class: 'palette', 'aria-label': t('search') },
    h('label', {}, icon('search'), input),
    list,
  );
  let active = 0;
  let asked = '';

  const options = () => [...list.querySelectorAll('[role=option]')];
  const mark = (at) => {
    const shown = options();
    active = Math.max(0, Math.min(shown.length - 1, at));
    shown.forEach((option, number) => option.setAttribute('aria-selected', String(number === active)));
    shown[active]?.scrollIntoView({ block: 'nearest' });
    if (shown[active]) input.setAttribute('aria-activedescendant', shown[active].id);
  };
  const option = ({ picture, words, kind, address }, at) =>
    h(
      'li',
      {
        role: 'option',
        id: `found-${at}`,
        'aria-selected': 'false',
        onclick: () => {
          element.close();
          go(address);
        },
        onpointermove: () => at !== active && mark(at),
      },
      icon(picture),
      h('span', {}, words),
      h('small', {}, kind),
    );
  const show = (found) => {
    replace(list, found.length > 0 ? found.map(option) : h('li', { class: 'nothing' }, t('nothing')));
    mark(0);
  };

  const look = async () => {
    const question = input.value.trim();
    asked = question;
    const found = [...pagesFor(question)];
    show(found);
    if (question === '') return;
    // Each entity as it comes: a large one keeps nobody waiting for the others.
    await Promise.allSettled(
      ENTITIES.map(async (entity) => {
        const { data: own } = await page(definition(entity).path, { size: SHOWN, search: question });
        if (asked !== question || own.length === 0) return;
        found.unshift(
          ...own.map((record) => ({
            picture: entity,
            kind: t(`one.${entity}`),
            words: entity === 'plugins' ? pluginTitle(record.name) : titleOf(record, entity),
            address: href(entity, keyOf(record)),
          })),
        );
        show(found);
      }),
    );
  };

  input.addEventListener('input', debounced(120, look));
  input.addEventListener('keydown', (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      mark(active + step);
    } else if (event.key === 'Enter') {
      event.preventDefault();
      // Whoever types fast means what was typed, not what was found for less of it.
      if (asked !== input.value.trim()) look();
      options()[active]?.click();
    } else if (event.key === 'Escape') {
      // Else browsers would empty the field first.
      event.preventDefault();
      element.close();
    }
  });
  element.addEventListener('click', (event) => event.target === element && element.close());
  element.addEventListener('close', () => element.remove());
  document.body.append(element);
  element.showModal();
  look();
}

/** Pages and actions whose names have the words in them. */
function pagesFor(question) {
  const words = question.toLowerCase();
  const pages = groups
    .flatMap(([, own]) => own)
    .map(([page]) => ({ picture: page, words: t(`page.${page}`), kind: t('search.page'), address: href(page) }));
  const actions = CREATED.map((entity) => ({
    picture: 'plus',
    words: t(`new.${entity}`),
    kind: t('search.action'),
    address: href(entity, 'create'),
  }));
  const plugin = {
    picture: 'plus',
    words: t('new.plugins'),
    kind: t('search.action'),
    address: href('plugins', 'select'),
  };
  return [...pages, ...(isReadOnly() ? [] : [...actions, plugin])].filter((one) => one.words.toLowerCase().includes(words));
}
