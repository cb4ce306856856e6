/** Records: fields within a field. */

import { h, uniqueId } from '../core/dom.js';
import { changes, defaultsOf, fieldsOf } from '../core/schemas.js';
import { t } from '../core/texts.js';
import { fieldRow } from './field.js';

/** The editor of a record. One that need not be there is only when something in it was filled in. */
export function recordEditor(field, context) {
  const fields = fieldsOf(field);
  const rows = fields.map((one) => fieldRow(one, { ...context, path: [...(context.path ?? []), field.name] }));
  const initial = defaultsOf(fields);
  let present = false;
  const body = h(
    'div',
    { class: 'fields' },
    rows.map((row) => row.element),
  );
  const element = context.top
    ? body
    : h(
        'details',
        { class: 'record', open: field.required && fields.length <= 8 },
        h('summary', {}, t('form.fields', { count: fields.length })),
        body,
      );
  element.id = context.id ?? uniqueId('record');
  const value = () => Object.fromEntries(fields.map((one, at) => [one.name, rows[at].value()]));
  return {
    element,
    value: () => {
      const now = value();
      const filled = Object.keys(changes(fields, initial, now)).length > 0;
      return field.required || present || filled ? now : null;
    },
    set: (given) => {
      present = given !== null && given !== undefined;
      fields.forEach((one, at) => rows[at].set(given?.[one.name] ?? (present ? null : initial[one.name])));
    },
    faults: async () => {
      const left = (await Promise.all(rows.map((row) => row.faults()))).flat();
      if (left.length > 0 && element.tagName === 'DETAILS') element.open = true;
      return left;
    },
    errors: (tree) => {
      const left = rows.flatMap((row, at) => row.errors(tree?.[fields[at].name]));
      if (left.length > 0 && element.tagName === 'DETAILS') element.open = true;
      return left;
    },
  };
}
