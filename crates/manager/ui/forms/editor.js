/**
 * Editors of values, one for each kind of field in a schema. An editor has its `element`, gives what was entered with
 * `value()` (null: nothing), takes a value with `set()`, and shows with `errors()` what the Admin API says of it. Where
 * it may hold what cannot be sent, `faults()` says so beside that, and gives the words.
 */

import { equal } from '../core/dom.js';
import { listEditor } from './list.js';
import { mapEditor } from './map.js';
import { recordEditor } from './record.js';
import { foreignEditor, foreignListEditor } from './foreign.js';
import { choicesEditor, isLong, jsonEditor, numberEditor, selectEditor, switchEditor, textEditor } from './scalar.js';
import { tokensEditor } from './tokens.js';

/**
 * The editor for a field. `context.change` is called with each change. While nobody has changed anything, its value is
 * the one that it was given, whatever the editor makes of it.
 */
export function editorFor(field, context) {
  const editor = editorOf(field, context);
  let [given, read] = [null, editor.value()];
  return {
    ...editor,
    value: () => {
      const now = editor.value();
      return equal(now, read) ? given : now;
    },
    set: (value) => {
      editor.set(value);
      [given, read] = [value ?? null, editor.value()];
    },
  };
}

function editorOf(field, context) {
  switch (field.type) {
    case 'boolean':
      return field.required || typeof field.default === 'boolean'
        ? switchEditor(field, context)
        : selectEditor({ ...field, one_of: [true, false] }, context);
    case 'integer':
    case 'number':
      return field.one_of ? selectEditor(field, context) : numberEditor(field, context);
    case 'foreign':
      return foreignEditor(field, context);
    case 'record':
      return field.abstract ? jsonEditor(field, context) : recordEditor(field, context);
    case 'map':
      return mapEditor(field, context);
    case 'set':
    case 'array':
      return collection(field, context);
    case 'json':
    case undefined:
      return jsonEditor(field, context);
    default:
      return field.one_of ? selectEditor(field, context) : textEditor(field, context);
  }
}

function collection(field, context) {
  const elements = field.elements ?? { type: 'string' };
  if (elements.one_of) return choicesEditor(field, context);
  if (field.name === 'ca_certificates') return foreignListEditor({ ...field, reference: 'ca_certificates' }, context);
  const short = ['string', 'integer', 'number'].includes(elements.type);
  return short && !isLong(field.name) ? tokensEditor(field, context) : listEditor(field, context);
}
