/** The sections of a form: what most people need is open, the rest is there when it is looked for. */

import { h } from '../core/dom.js';
import { changes } from '../core/schemas.js';
import { t } from '../core/texts.js';
import { definition } from '../entities/definitions.js';

/** Sections that are open from the start. */
const OPEN = ['general', 'matching', 'settings'];

/** The rows of a form in their sections. `note` tells a section whether a field in it is wrong. */
export function grouped(entity, fields, rows, defaults, values) {
  const left = new Map(fields.map((field) => [field.name, field]));
  const groups = definition(entity).groups.map(([name, names]) => {
    const found = names.filter((one) => left.has(one)).map((one) => left.get(one));
    found.forEach((field) => left.delete(field.name));
    return { name, fields: found };
  });
  if (left.size > 0) {
    const advanced = groups.find((group) => group.name === 'advanced');
    if (advanced) advanced.fields.push(...left.values());
    else groups.push({ name: groups.length === 0 ? 'general' : 'advanced', fields: [...left.values()] });
  }
  const sections = new Map();
  const elements = groups
    .filter((group) => group.fields.length > 0)
    .map((group) => {
      const set = Object.keys(changes(group.fields, defaults, values)).length > 0;
      const body = h(
        'div',
        { class: 'fields' },
        group.fields.map((field) => rows.get(field.name).element),
      );
      const element = OPEN.includes(group.name)
        ? h('section', { class: 'group' }, h('h2', {}, t(`form.group.${group.name}`)), body)
        : h(
            'details',
            { class: 'group', open: set },
            h('summary', {}, h('h2', {}, t(`form.group.${group.name}`))),
            body,
          );
      group.fields.forEach((field) => sections.set(field.name, element));
      return element;
    });
  const note = (name, problems) => {
    const section = sections.get(name);
    if (problems.length > 0 && section?.tagName === 'DETAILS') section.open = true;
  };
  return { elements, note };
}
