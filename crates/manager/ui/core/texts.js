/** All words that people read, in their language. */

import english from '../texts/en.js';
import japanese from '../texts/ja.js';
import { keep, kept } from './preferences.js';

const tables = { en: english, ja: japanese };

/** The languages, by their own names. */
export const languages = { en: 'English', ja: '日本語' };

/** The language in use: the one chosen, else the browser's. */
export const language = choose();

/** The text of that name; `{word}` in it stands for values. */
export function t(name, values = {}) {
  const text = tables[language][name] ?? english[name] ?? name;
  return text.replace(/\{(\w+)\}/g, (whole, word) => (word in values ? values[word] : whole));
}

/** The text of that name, or null. */
export function known(name) {
  return tables[language][name] ?? english[name] ?? null;
}

/** Chooses a language; the page begins anew. */
export function chooseLanguage(chosen) {
  keep('language', chosen);
  location.reload();
}

const plain = new Intl.NumberFormat(language);
const compact = new Intl.NumberFormat(language, { notation: 'compact', maximumFractionDigits: 1 });
const exact = new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'medium' });
const relative = new Intl.RelativeTimeFormat(language, { numeric: 'auto' });

/** A number for people; large ones are rounded. */
export function number(value) {
  return Math.abs(value) >= 100000 ? compact.format(value) : plain.format(value);
}

/** Seconds since 1970 as a date with its time. */
export function date(seconds) {
  return exact.format(new Date(seconds * 1000));
}

/** How long ago that was. */
export function ago(seconds) {
  const past = seconds - Date.now() / 1000;
  const units = [
    ['day', 86400],
    ['hour', 3600],
    ['minute', 60],
  ];
  const [unit, size] = units.find(([, one]) => Math.abs(past) >= one) ?? ['second', 1];
  return relative.format(Math.round(past / size), unit);
}

function choose() {
  const wanted = [kept('language'), ...(navigator.languages ?? [])].filter(Boolean);
  return wanted.map((tag) => tag.slice(0, 2)).find((tag) => tag in tables) ?? 'en';
}
