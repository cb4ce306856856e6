/** The configuration as a file: taken along, and put in after one has seen what it would change. */

import { Refusal, get, send } from '../core/api.js';
import { h, replace } from '../core/dom.js';
import { hasEndpoint } from '../core/endpoints.js';
import { icon } from '../core/icons.js';
import { t } from '../core/texts.js';
import { code } from '../parts/code.js';
import { differenceOf } from '../parts/difference.js';
import { fold } from '../parts/fold.js';
import { heading, nothing, panel } from '../parts/page.js';
import { confirmed } from '../shell/dialog.js';
import { done, failed } from '../shell/toast.js';

/** Shows it. */
export async function show(place) {
  const [{ configuration }, planned] = await Promise.all([
    get('/', { global: true, signal: place.signal }),
    hasEndpoint('/bascule/plan'),
  ]);
  const fromFile = configuration.database === 'off';
  const head = heading(t('page.files'), { about: t('about.files') });
  if (!planned && !fromFile) return [head, nothing('files', t('absent'))];
  return [head, h('div', { class: 'columns' }, exporting(place, fromFile), importing(place, fromFile, planned))];
}

function exporting(place, fromFile) {
  const shown = h('div', {});
  const read = async () => {
    const { config } = await get(fromFile ? '/config' : '/bascule/dump', { signal: place.signal });
    return config;
  };
  const guarded = (action) => async () => {
    try {
      await action(await read());
    } catch (error) {
      failed(error);
    }
  };
  return panel(
    t('files.export'),
    h('p', { class: 'count' }, t('files.secrets')),
    h(
      'div',
      { class: 'buttons' },
      h('button', { onclick: guarded((text) => download('kong.yml', text)) }, icon('files'), t('files.download')),
      h('button', { onclick: guarded((text) => replace(shown, code(text, 'kong.yml'))) }, icon('eye'), t('show')),
    ),
    shown,
  );
}

function download(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: 'application/yaml' }));
  const link = h('a', { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  URL.revokeObjectURL(address);
}

function importing(place, fromFile, planned) {
  const text = h('textarea', {
    class: 'code',
    rows: 14,
    spellcheck: 'false',
    'aria-label': t('files.text'),
    placeholder: '_format_version: "3.0"\nservices:\n- name: …',
  });
  const file = h('input', {
    type: 'file',
    accept: '.yml,.yaml,.json',
    'aria-label': t('files.file'),
    onchange: async () => {
      if (file.files[0]) text.value = await file.files[0].text();
    },
  });
  const result = h('div', { 'aria-live': 'polite' });
  const wrong = (error) => {
    if (place.signal.aborted) return;
    replace(
      result,
      h('p', { class: 'problems' }, icon('warning'), error.message),
    );
  };
  const planOf = async () => {
    const { steps } = await send('POST', '/bascule/plan', { file: text.value }, { signal: place.signal });
    return steps;
  };
  const guarded = (action) => async () => {
    try {
      if (text.value.trim() === '') throw new Refusal(400, { message: t('files.empty') });
      await action();
    } catch (error) {
      wrong(error);
    }
  };
  const look = guarded(async () => replace(result, plan(await planOf(), fromFile, look)));
  const load = guarded(async () => {
    const steps = planned ? await planOf() : null;
    const words = steps ? t('files.load.sure', counts(steps)) : t('files.whole');
    if (!(await confirmed(t('files.load.title'), words, t('files.load'), steps && plan(steps, true)))) return;
    await send('POST', '/config', { config: text.value }, { global: true });
    replace(result);
    done(t('files.loaded'));
  });
  return panel(
    t('files.import'),
    h('p', { class: 'count' }, t(fromFile ? 'files.whole' : 'files.words')),
    file,
    text,
    h(
      'div',
      { class: 'buttons' },
      planned && h('button', { class: 'primary', onclick: look }, icon('search'), t('files.look')),
      fromFile && h('button', { class: 'danger', onclick: load }, t('files.load')),
    ),
    result,
  );
}

/** How many records would come, change and go. */
function counts(steps) {
  const count = (action) => steps.filter((step) => step.action === action).length;
  return { create: count('create'), update: count('update'), delete: count('delete') };
}

/** What would change, each step with its difference; steps that are not wanted are left out. */
function plan(steps, fromFile, again) {
  if (steps.length === 0) return h('p', { class: 'count' }, t('files.same'));
  const boxes = steps.map((step) => ({
    step,
    input: h('input', {
      type: 'checkbox',
      checked: step.action !== 'delete',
      'aria-label': `${step.action} ${step.entity} ${step.name}`,
    }),
    state: h('span', { class: 'unset' }),
  }));
  const apply = h(
    'button',
    {
      class: 'primary',
      onclick: async () => {
        apply.disabled = true;
        let count = 0;
        for (const { step, input, state } of boxes.filter((box) => box.input.checked)) {
          try {
            await send(step.method, step.path, step.record ?? undefined);
            replace(state, icon('check'));
            input.checked = false;
            count += 1;
          } catch (error) {
            replace(state, error.message);
            failed(error);
            break;
          }
        }
        done(t('files.applied', { count }));
        apply.disabled = false;
        if (boxes.every((box) => !box.input.checked)) again();
      },
    },
    t('files.apply'),
  );
  return h(
    'div',
    {},
    h(
      'ol',
      { class: 'history' },
      boxes.map(({ step, input, state }) =>
        h(
          'li',
          {},
          fold(
            [
              !fromFile && input,
              h(
                'span',
                { class: `badge ${{ create: 'good', delete: 'bad' }[step.action] ?? 'warn'}` },
                t(`plan.${step.action}`),
              ),
              h('strong', {}, step.entity),
              h('span', {}, step.name),
              state,
            ],
            step.action === 'delete' ? null : () => whatChanges(step),
          ),
        ),
      ),
    ),
    !fromFile && h('div', { class: 'buttons' }, apply),
  );
}

function whatChanges({ action, entity, fields, record }) {
  if (action !== 'update') return differenceOf(entity, null, record);
  const values = (which) => Object.fromEntries(fields.map((field) => [field.name, field[which]]));
  return differenceOf(entity, values('is'), values('wanted'));
}
