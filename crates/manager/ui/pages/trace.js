/**
 * Follows one request through the node: which route won, what each plugin did, where it was sent, what came back. It is
 * written by hand, or one of those that go through the node just now.
 */

import { Refusal, send } from '../core/api.js';
import { h, replace } from '../core/dom.js';
import { hasEndpoint } from '../core/endpoints.js';
import { icon } from '../core/icons.js';
import { t } from '../core/texts.js';
import { course } from '../parts/course.js';
import { heading, nothing } from '../parts/page.js';
import { METHODS, recentRequests, urlOf } from './requests.js';

/** Shows it. */
export async function show(place) {
  const head = heading(t('page.trace'), { about: t('about.trace') });
  if (!(await hasEndpoint('/bascule/trace'))) return [head, nothing('trace', t('absent'))];
  const method = h(
    'select',
    { 'aria-label': t('trace.method') },
    METHODS.map((name) => h('option', {}, name)),
  );
  const url = h('input', {
    required: true,
    spellcheck: 'false',
    value: place.query.get('url') ?? 'http://localhost/',
    'aria-label': 'URL',
    autofocus: true,
  });
  const headers = h('textarea', { class: 'code', rows: 4, spellcheck: 'false', placeholder: 'X-Canary: yes' });
  const body = h('textarea', { class: 'code', rows: 4, spellcheck: 'false' });
  const withheld = h('p', { class: 'hint', hidden: true });
  const more = h(
    'details',
    {},
    h('summary', {}, t('trace.more')),
    h(
      'div',
      { class: 'columns' },
      h('div', {}, h('label', { class: 'stacked' }, h('span', {}, t('trace.headers')), headers), withheld),
      h('label', { class: 'stacked' }, h('span', {}, t('trace.body')), body),
    ),
  );
  const result = h('div', { 'aria-live': 'polite' });
  const button = h('button', { class: 'primary' }, icon('trace'), t('trace.send'));
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      const asked = {
        method: method.value,
        url: url.value.trim(),
        headers: pairs(headers.value),
        ...(body.value ? { body: body.value } : {}),
      };
      const told = await send('POST', '/bascule/trace', asked, { global: true, signal: place.signal });
      replace(result, course(told));
    } catch (error) {
      if (place.signal.aborted) return;
      replace(
        result,
        h('p', { class: 'problems' }, icon('warning'), error instanceof Refusal ? error.message : t('away.unsent')),
      );
    } finally {
      button.disabled = false;
    }
  };
  const form = h(
    'form',
    { class: 'panel', onsubmit: submit },
    h('div', { class: 'asked' }, method, url, button),
    more,
  );

  /** Fills the form with a request that went through the node, and shows what was seen of it. */
  const take = (request) => {
    if (![...method.options].some((option) => option.value === request.method)) {
      method.append(h('option', {}, request.method));
    }
    method.value = request.method;
    url.value = urlOf(request);
    const lines = request.headers.filter(([name]) => !OWN.includes(name.toLowerCase()));
    headers.value = lines
      .filter(([, value]) => value !== null)
      .map(([name, value]) => `${name}: ${value}`)
      .join('\n');
    body.value = '';
    const hidden = lines.filter(([, value]) => value === null).map(([name]) => name);
    replace(withheld, t('trace.withheld', { names: hidden.join(', ') }));
    withheld.hidden = hidden.length === 0;
    more.open = true;
    replace(
      result,
      h('p', { class: 'course-note' }, t('trace.seen')),
      course({ ...request, request, response: { status: request.status } }),
    );
    form.scrollIntoView({ block: 'center' });
    button.focus({ preventScroll: true });
  };
  return [head, form, result, (await hasEndpoint('/bascule/requests')) && recentRequests(place, take)];
}

/** Lines that a traced request has of its own. */
const OWN = ['host', 'connection', 'content-length', 'transfer-encoding', 'upgrade'];

/** Lines of `Name: value` as pairs. */
function pairs(text) {
  return text
    .split('\n')
    .map((line) => line.match(/^([^:]+):(.*)$/))
    .filter(Boolean)
    .map(([, name, value]) => [name.trim(), value.trim()]);
}
