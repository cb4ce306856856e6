/** Values as YAML, in the form of declarative files. */

/** The document of a value. */
export function yaml(value) {
  return `${lines(value, '').join('\n')}\n`;
}

function lines(value, indent) {
  if (Array.isArray(value)) {
    if (value.length === 0) return [`${indent}[]`];
    return value.flatMap((one) => {
      const [first, ...rest] = lines(one, `${indent}  `);
      return [`${indent}- ${first.slice(indent.length + 2)}`, ...rest];
    });
  }
  if (value !== null && typeof value === 'object') {
    const entries = Object.entries(value).filter(([, one]) => one !== undefined);
    if (entries.length === 0) return [`${indent}{}`];
    return entries.flatMap(([name, one]) => pair(scalar(name), one, indent));
  }
  return [`${indent}${scalar(value)}`];
}

function pair(name, value, indent) {
  if (typeof value === 'string' && value.includes('\n')) return block(name, value, indent);
  const nested = value !== null && typeof value === 'object' && Object.keys(value).length > 0;
  if (!nested) return [`${indent}${name}: ${lines(value, '')[0]}`];
  // As usual in such files, items of a list stand below their name without being moved.
  return [`${indent}${name}:`, ...lines(value, Array.isArray(value) ? indent : `${indent}  `)];
}

/** Text of several lines, as it is. */
function block(name, text, indent) {
  if (/^\s|[^\S\n]\n|\r|\t/.test(text)) return [`${indent}${name}: ${JSON.stringify(text)}`];
  const ends = text.endsWith('\n');
  const body = (ends ? text.slice(0, -1) : text).split('\n').map((line) => (line ? `${indent}  ${line}` : ''));
  return [`${indent}${name}: ${ends ? '|' : '|-'}`, ...body];
}

/** A text that no reader takes for anything else. */
function scalar(value) {
  if (typeof value !== 'string') return String(value);
  const plain = /^[A-Za-z_/.][\w ./@*+()$^\\-]*$/.test(value) && !value.endsWith(' ');
  const word = /^(true|false|null|yes|no|on|off|y|n|~|\.nan|\.inf)$/i.test(value);
  return plain && !word && !/^\.\d/.test(value) ? value : JSON.stringify(value);
}
