/** Several short values in one field: Enter takes one in, Backspace brings the last one back. */

import { h, replace } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { emptied } from '../core/schemas.js';
import { t } from '../core/texts.js';

/** The editor of a set of texts or numbers. */
export function tokensEditor(field, context) {
  const numbers = field.elements?.type !== 'string';
  let values = [];
  let problems = [];
  const tokens = h('span', { class: 'tokens' });
  const input = h('input', {
    id: context.id,
    type: 'text',
    spellcheck: 'false',
    autocomplete: 'off',
    placeholder: t('form.add'),
  });
  const element = h(
    'div',
    { class: 'tokenized', onclick: (event) => event.target === element && input.focus() },
    tokens,
    input,
  );
  const read = (text) => (numbers && text !== '' && !Number.isNaN(Number(text)) ? Number(text) : text);
  const draw = () => {
    replace(
      tokens,
      values.map((value, at) =>
        h(
          'span',
          { class: problems[at] ? 'token wrong' : 'token', title: problems[at] },
          h('span', { ondblclick: () => edit(at) }, String(value)),
          h(
            'button',
            {
              type: 'button',
              class: 'plain',
              'aria-label': t('remove.named', { name: value }),
              onclick: () => remove(at),
            },
            icon('close'),
          ),
        ),
      ),
    );
    input.placeholder = values.length === 0 ? t('form.add') : '';
  };
  const remove = (at) => {
    values.splice(at, 1);
    problems = [];
    draw();
    context.change();
    input.focus();
  };
  const edit = (at) => {
    input.value = values[at];
    remove(at);
  };
  const take = (text) => {
    // What was copied from a list comes line by line; a comma cannot be part of a tag.
    const parts = text.split(field.name === 'tags' || numbers ? /[\n,]/ : /\n/).map((part) => part.trim());
    const fresh = parts
      .filter(Boolean)
      .map(read)
      .filter((value) => !values.includes(value));
    if (fresh.length === 0) return;
    values.push(...fresh);
    draw();
    context.change();
  };
  input.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && input.value !== '' && !event.isComposing) {
      event.preventDefault();
      take(input.value);
      input.value = '';
    } else if (event.key === 'Backspace' && input.value === '' && values.length > 0) {
      event.preventDefault();
      edit(values.length - 1);
    }
  });
  // What was typed counts, also when nobody has pressed Enter.
  input.addEventListener('input', context.change);
  input.addEventListener('blur', () => {
    take(input.value);
    input.value = '';
  });
  input.addEventListener('paste', (event) => {
    const text = event.clipboardData.getData('text');
    if (!text.includes('\n')) return;
    event.preventDefault();
    take(text);
  });
  draw();
  return {
    element,
    value: () => {
      const typed = input.value.trim();
      const whole = typed && !values.includes(read(typed)) ? [...values, read(typed)] : values;
      return whole.length > 0 ? [...whole] : emptied(field, []);
    },
    set: (value) => {
      values = Array.isArray(value) ? [...value] : [];
      problems = [];
      draw();
    },
    errors: (tree) => {
      problems = Array.isArray(tree) ? tree.map((one) => (typeof one === 'string' ? one : null)) : [];
      draw();
      return problems.filter(Boolean);
    },
  };
}
