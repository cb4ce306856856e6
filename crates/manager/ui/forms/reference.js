/** A reference to a vault in the place of a secret: `{vault://prefix/secret/key}`. */

import { h, replace } from '../core/dom.js';
import { icon } from '../core/icons.js';
import { t } from '../core/texts.js';
import { all } from '../entities/records.js';
import { dialog } from '../shell/dialog.js';

/** The button that puts one together. */
export function referenceButton(take) {
  return h(
    'button',
    {
      type: 'button',
      class: 'plain',
      title: t('form.vault'),
      'aria-label': t('form.vault'),
      onclick: async () => {
        const reference = await dialog(t('form.vault'), compose);
        if (reference) take(reference);
      },
    },
    icon('vaults'),
  );
}

function compose(close) {
  const vault = h('input', { list: 'vaults', required: true, value: 'env' });
  const secret = h('input', { required: true });
  const key = h('input', {});
  const shown = h('code', { class: 'block' });
  const options = h('datalist', { id: 'vaults' });
  all('vaults')
    .then((vaults) =>
      replace(
        options,
        ['env', ...vaults.map((one) => one.prefix)].map((prefix) => h('option', { value: prefix })),
      ),
    )
    .catch(() => {});
  const reference = () => `{vault://${[vault.value, secret.value, key.value].filter(Boolean).join('/')}}`;
  const draw = () => replace(shown, reference());
  draw();
  return h(
    'form',
    {
      oninput: draw,
      onsubmit: (event) => {
        event.preventDefault();
        close(reference());
      },
    },
    h('label', { class: 'stacked' }, h('span', {}, t('form.vault.name')), vault, options),
    h('label', { class: 'stacked' }, h('span', {}, t('form.vault.secret')), secret),
    h('label', { class: 'stacked' }, h('span', {}, t('form.vault.key')), key),
    shown,
    h('footer', {}, h('button', { class: 'primary' }, t('form.use'))),
  );
}
