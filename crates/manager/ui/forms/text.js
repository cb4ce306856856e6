/** A record as text, in YAML or JSON: its lines have numbers, and what is wrong is told with the line it is in. */

import { debounced, equal, h, replace } from '../core/dom.js';
import { defaultOf, fieldsOf } from '../core/schemas.js';
import { t } from '../core/texts.js';
import { Misread, lineOf, parse } from '../entities/parse.js';
import { yaml } from '../entities/yaml.js';
import { flattened, misfits } from './misfits.js';

/** How long nobody types before the text is looked at, in milliseconds. */
const PAUSE = 200;
const MOST_ROWS = 32;

/**
 * The editor. `fields` are those that can be changed, `constant` has what stands in the text and stays as it is.
 * `change` is called when the text can be read anew.
 */
export function recordText({ fields, constant, change }) {
  let format = 'yaml';
  let lines = new Map();
  const numbers = h('div', { class: 'numbers', 'aria-hidden': 'true' });
  const area = h('textarea', { class: 'code', spellcheck: 'false', wrap: 'off', autocapitalize: 'off' });
  const problems = h('ul', { class: 'misread', role: 'alert' });
  const element = h('div', {}, h('div', { class: 'numbered' }, numbers, area), problems);
  const number = (wrong = new Set()) => {
    const count = area.value.split('\n').length;
    area.rows = Math.min(MOST_ROWS, Math.max(6, count + 1));
    replace(
      numbers,
      Array.from({ length: count }, (_, at) => h('span', { class: wrong.has(at + 1) ? 'wrong' : null }, at + 1)),
    );
    numbers.scrollTop = area.scrollTop;
  };
  const goTo = (line) => {
    const rows = area.value.split('\n');
    const start = rows.slice(0, line - 1).join('\n').length + (line > 1 ? 1 : 0);
    area.focus();
    area.setSelectionRange(start, start + (rows[line - 1]?.length ?? 0));
  };
  const show = (found) => {
    number(new Set(found.map(({ line }) => line)));
    area.setAttribute('aria-invalid', String(found.length > 0));
    replace(
      problems,
      found.map(({ line, path, message }) =>
        h(
          'li',
          {},
          h('button', { type: 'button', class: 'plain link', onclick: () => goTo(line) }, t('text.line', { line })),
          path && h('code', {}, path),
          h('span', {}, message),
        ),
      ),
    );
  };
  const at = ({ path, message }) => ({ line: lineOf(lines, path), path, message });
  const whole = () => [...fields, ...Object.keys(constant).map((name) => ({ name }))];

  let [looked, result] = [null, null];
  /** What the text says, with the defaults of what it leaves out; null, when that cannot be told. */
  const value = () => {
    // What an answer has said of a text stays as long as the text does.
    if (area.value !== looked) [looked, result] = [area.value, judged()];
    return result;
  };
  const judged = () => {
    try {
      const read = parse(area.value);
      lines = read.lines;
      const given = read.value ?? {};
      const wrong = misfits(whole(), given);
      const fixed = Object.keys(constant).filter((name) => name in given && !equal(given[name], constant[name]));
      wrong.push(...fixed.map((path) => ({ path, message: t('text.fixed') })));
      show(wrong.map(at));
      return wrong.length > 0 ? null : completed(fields, given);
    } catch (error) {
      if (!(error instanceof Misread)) throw error;
      show([{ line: error.line, path: '', message: error.message }]);
      return null;
    }
  };
  const look = debounced(PAUSE, () => element.isConnected && value() !== null && change());
  area.addEventListener('input', () => {
    number();
    look();
  });
  area.addEventListener('scroll', () => {
    numbers.scrollTop = area.scrollTop;
  });
  area.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.ctrlKey || event.metaKey || event.isComposing) return;
    // The next row begins where this one does.
    const row = area.value.slice(0, area.selectionStart).split('\n').at(-1);
    const indent = /^\s*(?:- )?/.exec(row)[0].replace('- ', '  ');
    event.preventDefault();
    area.setRangeText(`\n${indent}`, area.selectionStart, area.selectionEnd, 'end');
    area.dispatchEvent(new Event('input', { bubbles: true }));
  });
  return {
    element,
    value,
    set: (record, chosen) => {
      format = chosen;
      const shown = { ...constant, ...sparse(fields, record) };
      looked = null;
      area.value = format === 'yaml' ? yaml(shown) : `${JSON.stringify(shown, null, 2)}\n`;
      area.setAttribute('aria-label', format === 'yaml' ? 'YAML' : 'JSON');
      lines = parse(area.value).lines;
      show([]);
    },
    /** Shows what an answer says of fields. */
    refuse: (tree) => {
      const found = flattened(tree).map(at);
      show(found);
      if (found.length > 0) goTo(found[0].line);
    },
  };
}

/** A record without what is not set, unless that says something. */
function sparse(fields, record) {
  const kept = fields.filter((field) => (record[field.name] ?? null) !== null || defaultOf(field) !== null);
  return Object.fromEntries(
    kept.map((field) => {
      const value = record[field.name] ?? null;
      const isRecord = field.type === 'record' && !field.abstract && value !== null;
      return [field.name, isRecord ? sparse(fieldsOf(field), value) : value];
    }),
  );
}

/** A record with the defaults of what it does not name. */
function completed(fields, value) {
  return Object.fromEntries(
    fields.map((field) => {
      const one = value[field.name];
      if (one === undefined) return [field.name, defaultOf(field)];
      const isRecord = field.type === 'record' && !field.abstract && one !== null;
      return [field.name, isRecord ? completed(fieldsOf(field), one) : one];
    }),
  );
}
