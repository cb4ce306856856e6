/** What of a record that was written as text is not in its schema, or of another type than it says. */

import { fieldsOf } from '../core/schemas.js';
import { t } from '../core/texts.js';

/** What each type of field takes in JSON. */
const TAKES = {
  string: (value) => typeof value === 'string',
  function: (value) => typeof value === 'string',
  boolean: (value) => typeof value === 'boolean',
  number: (value) => typeof value === 'number',
  integer: (value) => Number.isInteger(value),
  array: Array.isArray,
  set: Array.isArray,
  map: isObject,
  record: isObject,
  foreign: isObject,
};

/** Whatever does not fit: pairs of a path and what is wrong there. */
export function misfits(fields, value, path = []) {
  if (!isObject(value)) return [{ path: path.join('.'), message: t('text.record') }];
  const known = new Map(fields.map((field) => [field.name, field]));
  return Object.entries(value).flatMap(([name, one]) => {
    const field = known.get(name);
    const own = [...path, name];
    return field ? inValue(field, one, own) : [{ path: own.join('.'), message: t('text.unknown') }];
  });
}

function inValue(field, value, path) {
  if (value === null) return [];
  const takes = TAKES[field.type];
  if (takes && !takes(value)) return [{ path: path.join('.'), message: t(`text.type.${field.type}`) }];
  if (field.type === 'record' && !field.abstract) return misfits(fieldsOf(field), value, path);
  if (field.type === 'map' && field.values) {
    return Object.entries(value).flatMap(([name, one]) => inValue(field.values, one, [...path, name]));
  }
  if (Array.isArray(value) && field.elements) {
    return value.flatMap((one, at) => inValue(field.elements, one, [...path, at]));
  }
  return [];
}

/** An answer's errors as pairs of a path and what is wrong there; `@entity` is about the whole. */
export function flattened(tree, path = []) {
  if (typeof tree === 'string') return [{ path: path.filter((part) => part !== '@entity').join('.'), message: tree }];
  if (tree === null || typeof tree !== 'object') return [];
  const entries = Object.entries(tree).filter(([, one]) => one !== null);
  return entries.flatMap(([name, one]) => flattened(one, [...path, name]));
}

function isObject(value) {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
