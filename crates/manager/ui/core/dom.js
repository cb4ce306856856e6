/**
 * Making elements. Texts always become text nodes: nothing that the Admin API answers is ever read as markup.
 */

const SVG = 'http://www.w3.org/2000/svg';

/** An element. Properties beginning with `on` are listeners, `class` and the rest are attributes. */
export function h(name, properties, ...children) {
  return fill(document.createElement(name), properties, children);
}

/** The same for pictures. */
export function svg(name, properties, ...children) {
  return fill(document.createElementNS(SVG, name), properties, children);
}

/** Puts children in the place of those that an element has. */
export function replace(element, ...children) {
  element.replaceChildren(...nodes(children));
  return element;
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'style') for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else if (name === 'value' || name === 'checked' || name === 'indeterminate') element[name] = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...nodes(children));
  return element;
}

function nodes(children) {
  return children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false);
}

let last = 0;

/** An id that no other element has, for labels. */
export function uniqueId(word = 'e') {
  last += 1;
  return `${word}-${last}`;
}

/** Calls back once nothing has happened for a moment. */
export function debounced(milliseconds, action) {
  let timer;
  return (...words) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...words), milliseconds);
  };
}

/** Whether two values of JSON are the same. */
export function equal(a, b) {
  if (a === b) return true;
  if (a === null || b === null || typeof a !== 'object' || typeof b !== 'object') return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => key in b && equal(a[key], b[key]));
}
