/**
 * Reading YAML, and so JSON: what people write by hand and what decK's files have in them. Each value is known by its
 * line, so that whatever is wrong with it can be told where it stands. What has more than one meaning among readers
 * of YAML (tags, anchors, `?` keys) is refused rather than guessed.
 */

import { t } from '../core/texts.js';

/** A text that cannot be read, and the line where that shows. */
export class Misread extends Error {
  constructor(line, message) {
    super(message);
    this.line = line;
  }
}

/** The value of a text, and `lines`: the line of each value by its path (`config.redis.host`, `paths.0`). */
export function parse(text) {
  const reader = new Reader(text);
  const value = reader.document();
  return { value, lines: reader.lines };
}

/** The line of a path, or of what it would stand in. */
export function lineOf(lines, path) {
  for (let parts = path.split('.'); parts.length > 0; parts = parts.slice(0, -1)) {
    const line = lines.get(parts.join('.'));
    if (line) return line;
  }
  return 1;
}

class Reader {
  constructor(text) {
    this.rows = text
      .replaceAll('\r\n', '\n')
      .split('\n')
      .map((row) => ({ row, indent: /^ */.exec(row)[0].length }));
    this.at = 0;
    this.lines = new Map();
  }

  document() {
    if (this.present()?.row.startsWith('---')) this.shift(3);
    if (!this.present()) return null;
    const value = this.node(0, []);
    const rest = this.present();
    if (rest?.row.startsWith('...')) return value;
    if (rest) this.fail(rest.row.startsWith('---') ? 'yaml.documents' : 'yaml.indent');
    return value;
  }

  /** The next row that says anything; what there is of it stands from `indent` on. */
  present() {
    while (this.at < this.rows.length && /^\s*(#.*)?$/.test(this.rows[this.at].row)) this.at += 1;
    return this.rows[this.at] ?? null;
  }

  /** Blanks in the place of what was read at the beginning of a row. */
  shift(column) {
    const row = this.rows[this.at];
    const rest = ' '.repeat(column) + row.row.slice(column);
    this.rows[this.at] = { row: rest, indent: /^ */.exec(rest)[0].length };
  }

  fail(name, words) {
    throw new Misread(Math.min(this.at, this.rows.length - 1) + 1, t(name, words));
  }

  note(path) {
    this.lines.set(path.join('.'), this.at + 1);
  }

  /** What stands at the present row, which is no further left than `indent`. */
  node(indent, path) {
    const { row, indent: own } = this.present();
    if (row[own] === '\t') this.fail('yaml.tab');
    if (own < indent) return null;
    const text = row.slice(own);
    if (/^-(\s|$)/.test(text)) return this.sequence(own, path);
    if (keyOf(text)) return this.mapping(own, path);
    return this.scalar(own, own, path);
  }

  sequence(indent, path) {
    const values = [];
    for (let next = this.present(); next && next.indent === indent; next = this.present()) {
      if (!/^-(\s|$)/.test(next.row.slice(indent))) break;
      const own = [...path, values.length];
      this.note(own);
      this.shift(indent + 1);
      const isEmpty = /^\s*(#.*)?$/.test(this.rows[this.at].row);
      const inner = this.present();
      values.push(isEmpty && (!inner || inner.indent <= indent) ? null : this.node(indent + 1, own));
    }
    const next = this.present();
    if (next && next.indent > indent) this.fail('yaml.indent');
    return values;
  }

  mapping(indent, path) {
    const value = {};
    for (let next = this.present(); next && next.indent === indent; next = this.present()) {
      if (/^(---|\.\.\.)(\s|$)/.test(next.row)) break;
      const key = keyOf(next.row.slice(indent));
      if (!key) {
        if (/^-(\s|$)/.test(next.row.slice(indent))) break;
        this.fail('yaml.key');
      }
      if (Object.hasOwn(value, key.name)) this.fail('yaml.twice', { name: key.name });
      const own = [...path, key.name];
      this.note(own);
      define(value, key.name, this.after(indent, indent + key.length, own));
    }
    const next = this.present();
    if (next && next.indent > indent) this.fail('yaml.indent');
    return value;
  }

  /** The value of a key that ends before `column`: on the same row, or below. */
  after(indent, column, path) {
    const rest = this.rows[this.at].row.slice(column);
    const from = column + /^\s*/.exec(rest)[0].length;
    const text = this.rows[this.at].row.slice(from);
    if (text !== '' && !text.startsWith('#')) {
      if (/^[|>]/.test(text)) return this.block(indent, text);
      return this.scalar(indent + 1, from, path);
    }
    this.at += 1;
    const next = this.present();
    if (!next || next.indent < indent) return null;
    // Items of a list may stand right below their name.
    if (next.indent === indent) return /^-(\s|$)/.test(next.row.slice(indent)) ? this.sequence(indent, path) : null;
    return this.node(indent + 1, path);
  }

  /** Lines as they are (`|`), or folded into one another (`>`). */
  block(indent, head) {
    const match = /^([|>])([+-]?)([1-9]?)([+-]?)\s*(#.*)?$/.exec(head);
    if (!match) this.fail('yaml.block');
    const [, style, before, given, after] = match;
    const keep = before || after;
    this.at += 1;
    const rows = [];
    let own = given ? indent + Number(given) : null;
    for (; this.at < this.rows.length; this.at += 1) {
      const { row, indent: left } = this.rows[this.at];
      if (row.trim() === '') {
        rows.push('');
        continue;
      }
      if (left <= indent && !(own !== null && left >= own)) break;
      own ??= left;
      if (left < own) break;
      rows.push(row.slice(own));
    }
    let empty = 0;
    while (rows.length > 0 && rows.at(-1) === '') {
      rows.pop();
      empty += 1;
    }
    const text = style === '|' ? rows.join('\n') : folded(rows);
    if (keep === '+') return text + '\n'.repeat(empty + 1);
    return keep === '-' || text === '' ? text : `${text}\n`;
  }

  /** A value that begins at `from` of the present row; it may go on in rows that stand at `indent` or further right. */
  scalar(indent, from, path) {
    const text = this.rows[this.at].row.slice(from);
    if (/^["'[{]/.test(text)) {
      const flow = new Flow(this, from);
      const value = flow.value(path);
      flow.end();
      return value;
    }
    if (/^[&*!%@`?](?!\w*:\/)/.test(text) && !/^\?\w/.test(text)) this.fail('yaml.quote', { sign: text[0] });
    const words = [uncommented(text)];
    if (/^-\s|:(\s|$)/.test(words[0])) this.fail('yaml.quote', { sign: words[0].startsWith('-') ? '-' : ':' });
    this.at += 1;
    for (let next = this.present(); next && next.indent >= indent && from > 0; next = this.present()) {
      if (keyOf(next.row.slice(next.indent))) this.fail('yaml.indent');
      words.push(uncommented(next.row.slice(next.indent)));
      this.at += 1;
    }
    return plain(words.join(' '));
  }
}

/** What stands in brackets and quotes, over as many rows as it takes. */
class Flow {
  constructor(reader, from) {
    this.reader = reader;
    this.column = from;
  }

  get row() {
    return this.reader.rows[this.reader.at]?.row ?? null;
  }

  /** The next sign that is neither blank nor a comment. */
  sign() {
    while (this.row !== null) {
      const rest = this.row.slice(this.column);
      const blank = /^\s*(?:(?<=^|\s)#.*)?/.exec(rest)[0];
      this.column += blank.length;
      if (this.column < this.row.length) return this.row[this.column];
      this.reader.at += 1;
      this.column = 0;
    }
    this.reader.fail('yaml.open');
  }

  take() {
    const sign = this.sign();
    this.column += 1;
    return sign;
  }

  value(path) {
    const sign = this.sign();
    if (sign === '{') return this.map(path);
    if (sign === '[') return this.list(path);
    if (sign === '"' || sign === "'") return this.quoted(this.take());
    return plain(this.bare());
  }

  map(path) {
    this.take();
    const value = {};
    for (;;) {
      if (this.sign() === '}') break;
      const quoted = /["']/.test(this.sign());
      const name = quoted ? this.quoted(this.take()) : this.bare();
      if (Object.hasOwn(value, name)) this.reader.fail('yaml.twice', { name });
      const own = [...path, name];
      this.reader.note(own);
      if (this.take() !== ':') this.reader.fail('yaml.colon', { name });
      define(value, name, this.value(own));
      if (!this.comma('}')) break;
    }
    this.column += 1;
    return value;
  }

  list(path) {
    this.take();
    const values = [];
    while (this.sign() !== ']') {
      const own = [...path, values.length];
      this.reader.note(own);
      values.push(this.value(own));
      if (!this.comma(']')) break;
    }
    this.column += 1;
    return values;
  }

  /** Whether another one may follow. */
  comma(end) {
    const sign = this.sign();
    if (sign === end) return false;
    if (sign !== ',') this.reader.fail('yaml.comma', { end });
    this.column += 1;
    return true;
  }

  /** A word without quotes. */
  bare() {
    const rest = this.row.slice(this.column);
    const word = /^(?:[^,[\]{}:#]|:(?![\s,[\]{}]|$)|(?<!\s)#)*/.exec(rest)[0];
    if (word.trim() === '') this.reader.fail('yaml.value');
    this.column += word.length;
    return word.trim();
  }

  quoted(quote) {
    let text = '';
    for (;;) {
      if (this.row === null) this.reader.fail('yaml.open');
      const rest = this.row.slice(this.column);
      const part = quote === "'" ? /^(?:[^']|'')*/.exec(rest)[0] : /^(?:[^"\\]|\\.)*/.exec(rest)[0];
      this.column += part.length;
      text += quote === "'" ? part.replaceAll("''", "'") : this.unescaped(part);
      if (this.row[this.column] === quote) {
        this.column += 1;
        return text;
      }
      // A text that goes on in the next row has a blank there.
      this.reader.at += 1;
      this.column = this.row === null ? 0 : /^\s*/.exec(this.row)[0].length;
      text = `${text.trimEnd()} `;
    }
  }

  unescaped(part) {
    const signs = { n: '\n', t: '\t', r: '\r', b: '\b', f: '\f', 0: '\0', a: '\x07', v: '\v', e: '\x1b' };
    return part.replace(/\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))/g, (whole, four, two, one) => {
      if (four || two) return String.fromCharCode(Number.parseInt(four ?? two, 16));
      if (one in signs) return signs[one];
      if (/[A-Za-z1-9]/.test(one)) this.reader.fail('yaml.escape', { sign: whole });
      return one;
    });
  }

  /** Nothing but a comment may follow. */
  end() {
    const rest = this.row?.slice(this.column) ?? '';
    if (!/^\s*(\s#.*)?$/.test(rest)) this.reader.fail('yaml.after', { rest: rest.trim() });
    this.reader.at += 1;
  }
}

/** The key that a row begins with, and how long it is with its colon. */
function keyOf(text) {
  const quoted = /^("(?:[^"\\]|\\.)*"|'(?:[^']|'')*')\s*:(?=\s|$)/.exec(text);
  if (quoted) {
    const inner = quoted[1].slice(1, -1);
    const name = quoted[1][0] === "'" ? inner.replaceAll("''", "'") : JSON.parse(quoted[1]);
    return { name, length: quoted[0].length };
  }
  const bare = /^([^\s#"'[\]{},&*!|>%@`?-][^#]*?|-[^\s#][^#]*?|\?\S[^#]*?)\s*:(?=\s|$)/.exec(text);
  return bare ? { name: bare[1], length: bare[0].length } : null;
}

/** Names such as `__proto__` are names like any other. */
function define(object, name, value) {
  Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true });
}

function uncommented(text) {
  return text.replace(/\s#.*$/, '').trim();
}

/** A word without quotes: a number, true, false or null where it is written so, else a text. */
function plain(word) {
  if (['', '~', 'null', 'Null', 'NULL'].includes(word)) return null;
  if (/^(true|True|TRUE)$/.test(word)) return true;
  if (/^(false|False|FALSE)$/.test(word)) return false;
  if (/^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(word)) return Number(word);
  if (/^0x[0-9a-f]+$/i.test(word)) return Number(word);
  return word;
}

/** Rows that follow each other become one; an empty row ends a line. */
function folded(rows) {
  return rows.reduce((text, row, at) => {
    if (at === 0) return row;
    if (row === '') return `${text}\n`;
    const joint = text.endsWith('\n') || /^\s/.test(row) ? (text.endsWith('\n') ? '' : '\n') : ' ';
    return text + joint + row;
  }, '');
}
