/** References to other records, picked from a list that is searched while one types. */

import { debounced, h, replace, uniqueId } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { t } from '../core/texts.js';
import { definition, titleOf } from '../entities/definitions.js';
import { nameOf, page } from '../entities/records.js';

/** How many are offered at once. */
const OFFERED = 40;

/** The editor of a foreign key. */
export function foreignEditor(field, context) {
  const problem = h('p', { class: 'error', role: 'alert' });
  const note = (settled) => replace(problem, settled ? null : t('form.nobody'));
  const take = (record) => {
    chosen = record ? { id: record.id } : null;
    note(true);
    context.change();
  };
  const pick = picker(field.reference, context.id, take, note);
  let chosen = null;
  return {
    element: h('div', {}, pick.element, problem),
    value: () => chosen,
    set: (value) => {
      chosen = value ? { id: value.id } : null;
      pick.show(chosen);
    },
    faults: async () => {
      const settled = await pick.settle();
      note(settled);
      return settled ? [] : [t('form.nobody')];
    },
    errors: (tree) =>
      tree && typeof tree === 'object' ? Object.values(tree).filter((x) => typeof x === 'string') : [],
  };
}

/** The editor of a list of ids. */
export function foreignListEditor(field, context) {
  let ids = [];
  const list = h('ul', { class: 'picked' });
  const pick = picker(field.reference, context.id, (record) => {
    if (!record || ids.includes(record.id)) return;
    ids.push(record.id);
    pick.show(null);
    draw();
    context.change();
  });
  const draw = () =>
    replace(
      list,
      ids.map((id) => {
        const name = h('span', {}, id.slice(0, 8));
        nameOf(field.reference, { id }).then((text) => replace(name, text));
        return h(
          'li',
          { class: 'token' },
          name,
          h(
            'button',
            {
              type: 'button',
              class: 'plain',
              'aria-label': t('remove'),
              onclick: () => {
                ids = ids.filter((other) => other !== id);
                draw();
                context.change();
              },
            },
            icon('close'),
          ),
        );
      }),
    );
  return {
    element: h('div', {}, list, pick.element),
    value: () => (ids.length > 0 ? [...ids] : null),
    set: (value) => {
      ids = [...(value ?? [])];
      draw();
    },
    errors: () => [],
  };
}

/**
 * A text field with a list of records below it. What was typed and is nobody's stays where `unsettled` is told of it,
 * and goes away otherwise.
 */
export function picker(entity, id, take, unsettled) {
  const { path, global } = definition(entity);
  const listId = uniqueId('options');
  const input = h('input', {
    id,
    role: 'combobox',
    'aria-expanded': 'false',
    'aria-controls': listId,
    'aria-autocomplete': 'list',
    autocomplete: 'off',
    spellcheck: 'false',
    placeholder: t('form.pick'),
  });
  const list = h('ul', { id: listId, role: 'listbox', class: 'options', hidden: true });
  const clear = h(
    'button',
    { type: 'button', class: 'plain', 'aria-label': t('form.clear'), hidden: true, onclick: () => choose(null) },
    icon('close'),
  );
  const element = h('div', { class: 'picker' }, input, clear, list);
  let offered = [];
  let active = -1;
  let shown = '';
  let answered = null;
  const close = () => {
    list.hidden = true;
    input.setAttribute('aria-expanded', 'false');
    input.removeAttribute('aria-activedescendant');
  };
  const choose = (record) => {
    shown = record ? titleOf(record, entity) : '';
    input.value = shown;
    clear.hidden = !record;
    close();
    take(record);
  };
  const mark = (at) => {
    active = at;
    [...list.children].forEach((option, number) => option.setAttribute('aria-selected', String(number === at)));
    const option = list.children[at];
    if (option?.id) input.setAttribute('aria-activedescendant', option.id);
    option?.scrollIntoView({ block: 'nearest' });
  };
  const typed = () => (input.value === shown ? '' : input.value.trim());
  const search = async (question) => {
    try {
      const { data } = await page(path, { size: OFFERED, search: question, global });
      return closest(data, question);
    } catch {
      return [];
    }
  };
  /** Takes the record whose name or id was typed; whether nothing is left that is nobody's. */
  const settle = async () => {
    const name = input.value.trim();
    if (input.value === shown) return true;
    if (name === '') {
      choose(null);
      return true;
    }
    const named = (await search(name)).filter((record) => titleOf(record) === name || record.id === name);
    // Whoever has typed on, or picked one, is asked about that.
    if (input.value.trim() !== name) return input.value === shown;
    if (named.length !== 1) return false;
    choose(named[0]);
    return true;
  };
  const offer = async () => {
    const question = typed();
    const found = await search(question);
    // Whoever has typed on is offered what fits that.
    if (question !== typed()) return;
    [offered, answered] = [found, question];
    replace(
      list,
      offered.length === 0
        ? h('li', { class: 'nothing' }, t('nothing'))
        : offered.map((record, at) =>
            h(
              'li',
              {
                role: 'option',
                id: `${listId}-${at}`,
                'aria-selected': 'false',
                onpointerdown: (event) => {
                  event.preventDefault();
                  choose(record);
                },
              },
              h('span', {}, titleOf(record, entity)),
              h('small', {}, record.id.slice(0, 8)),
            ),
          ),
    );
    list.hidden = document.activeElement !== input;
    input.setAttribute('aria-expanded', String(!list.hidden));
    mark(offered.length > 0 && question ? 0 : -1);
  };
  input.addEventListener('focus', offer);
  input.addEventListener('input', debounced(120, offer));
  input.addEventListener('blur', () => {
    close();
    if (unsettled) settle().then(unsettled);
    else if (input.value === '' && shown !== '') choose(null);
    else input.value = shown;
  });
  input.addEventListener('keydown', (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      if (list.hidden) offer();
      else mark(Math.max(0, Math.min(offered.length - 1, active + step)));
    } else if (event.key === 'Enter' && !list.hidden && offered[active] && answered === typed()) {
      event.preventDefault();
      choose(offered[active]);
    } else if (event.key === 'Enter' && typed() !== '') {
      // Nothing is sent while it is not known who is meant.
      event.preventDefault();
      if (unsettled) settle().then(unsettled);
    } else if (event.key === 'Escape' && !list.hidden) {
      event.stopPropagation();
      close();
    }
  });
  const show = async (key) => {
    shown = '';
    input.value = '';
    clear.hidden = !key;
    if (!key) return;
    shown = await nameOf(entity, key);
    input.value = shown;
  };
  return { element, show, input, settle };
}

/** Records by how well their names fit: the same, those that begin so, all others. */
function closest(records, question) {
  const name = question.toLowerCase();
  const rank = (record) => {
    const title = titleOf(record).toLowerCase();
    return title === name ? 0 : title.startsWith(name) ? 1 : 2;
  };
  return question === '' ? records : [...records].sort((a, b) => rank(a) - rank(b));
}
