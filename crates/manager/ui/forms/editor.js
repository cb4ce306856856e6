/**
 * Editors of values, one for each kind of field in a schema. An editor has its `element`, gives what was entered with
 * `value()` (null: nothing), takes a value with `set()`, and shows with `errors()` what the Admin API says of it.
 */

import { listEditor } from './list.js';
import { mapEditor } from './map.js';
import { recordEditor } from './record.js';
import { foreignEditor, foreignListEditor } from './foreign.js';
import { choicesEditor, isLong, jsonEditor, numberEditor, selectEditor, switchEditor, textEditor } from './scalar.js';
import { tokensEditor } from './tokens.js';

/** The editor for a field. `context.change` is called with each change. */
export function editorFor(field, context) {
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
