/**
 * Requests to the Admin API. Whoever calls need not care whether it is away or wants to know who asks: a request that
 * lacks credentials waits until somebody has logged in, and is then sent again.
 */

import { api, hasSessions, login, tokenHeader } from './config.js';
import { emit } from './events.js';
import { t } from './texts.js';

/** An answer that refuses. `fields` says what is wrong with which field. */
export class Refusal extends Error {
  constructor(status, body) {
    super(body?.message ?? `HTTP ${status}`);
    this.status = status;
    this.body = body;
    this.fields = body?.fields ?? null;
  }
}

/** An answer that is none of the Admin API: something else is there, or in between. */
export class Foreign extends Refusal {
  constructor(method, status, text) {
    const words = t(method === 'GET' ? 'foreign.read' : 'foreign.write', { api, status });
    super(status, { message: [words, gist(text)].filter(Boolean).join(' ') });
  }
}

/** No answer: the Admin API cannot be reached. What was to be written may have been, all the same. */
export class Away extends Error {
  constructor(method) {
    super(t(method === 'GET' ? 'away.page' : 'away.unsent'));
  }
}

/** How long an answer may take. */
const PATIENCE = 30_000;
/** How much of a text is shown that somebody else has answered. */
const GIST = 160;
/** Pauses between looks whether the Admin API is back, in milliseconds. */
const [FIRST_PAUSE, LAST_PAUSE] = [500, 4000];

const TOKEN = 'bascule.token';
let away = false;
let entering = null;

/** Whose records requests are about. */
export const scope = { workspace: 'default' };

/** Reads. */
export function get(path, options) {
  return send('GET', path, undefined, options);
}

/** Sends a request; the content of its answer. */
export async function send(method, path, content, options = {}) {
  const answer = await raw(method, place(path, options), content, options);
  // Who may see one workspace alone is told about the node there.
  if (answer.status === 403 && method === 'GET' && options.global && scope.workspace !== 'default') {
    return send(method, path, content, { ...options, global: false });
  }
  const text = await whole(method, answer, options);
  const body = parse(text);
  const isRecord = body !== null && typeof body === 'object' && !Array.isArray(body);
  if (!answer.ok) throw isRecord ? new Refusal(answer.status, body) : new Foreign(method, answer.status, text);
  const isEmpty = answer.status === 204 || (text === '' && (method === 'PUT' || method === 'DELETE'));
  if (!isRecord && !isEmpty && !options.anonymous) throw new Foreign(method, answer.status, text);
  if (method !== 'GET') emit('written', { method, path, content, global: options.global });
  return body;
}

/** The records of a list that was answered. */
export function listed(body) {
  if (!Array.isArray(body.data)) throw new Foreign('GET', 200, JSON.stringify(body));
  return body.data;
}

/** Sends a request and gives the answer as it comes, for streams. */
export async function raw(method, path, content, options = {}) {
  const headers = { ...options.headers };
  if (content !== undefined) headers['Content-Type'] = 'application/json';
  const token = ownToken();
  if (token) headers[tokenHeader] = token;
  const limit = options.stream ? undefined : AbortSignal.timeout(PATIENCE);
  const signals = [options.signal, limit].filter(Boolean);
  let answer;
  try {
    answer = await fetch(api + path, {
      method,
      headers,
      body: content === undefined ? undefined : JSON.stringify(content),
      credentials: hasSessions ? 'include' : 'omit',
      cache: 'no-store',
      signal: signals.length > 0 ? AbortSignal.any(signals) : undefined,
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    noticeAbsence();
    throw new Away(method);
  }
  noticePresence();
  if (answer.status === 401 && login !== 'none' && !options.anonymous) {
    await enter();
    return raw(method, path, content, options);
  }
  return answer;
}

/** The content of an answer; one that breaks off is none. */
async function whole(method, answer, options) {
  try {
    return await answer.text();
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Foreign(method, answer.status, '');
  }
}

/** The first words of a text, without its markup. */
function gist(text) {
  const words = text.replace(/<(style|script|head)\b.*?<\/\1>|<[^>]*>/gis, ' ').replace(/\s+/g, ' ').trim();
  return words.length > GIST ? `${words.slice(0, GIST)}…` : words;
}

/** The path with the workspace that it is about. */
function place(path, options) {
  const workspace = options.workspace ?? scope.workspace;
  const global = options.global || workspace === 'default';
  return global ? path : `/${encodeURIComponent(workspace)}${path}`;
}

function parse(text) {
  if (text === '') return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Has somebody log in; all who wait for it share one question. */
function enter() {
  entering ??= new Promise((resolve) => emit('enter', resolve)).finally(() => {
    entering = null;
  });
  return entering;
}

/** The token of this tab. It goes with the tab, and is never kept where other pages are. */
export function ownToken() {
  return login === 'token' ? sessionStorage.getItem(TOKEN) : null;
}

/** Takes a token into use, or none any more. */
export function useToken(token) {
  if (token === null) sessionStorage.removeItem(TOKEN);
  else sessionStorage.setItem(TOKEN, token);
}

function noticePresence() {
  if (!away) return;
  away = false;
  emit('back');
}

function noticeAbsence() {
  if (away) return;
  away = true;
  emit('away');
  look(FIRST_PAUSE);
}

/** Looks again and again, until the Admin API answers whatever it may be, and this page may read it. */
function look(pause) {
  setTimeout(async () => {
    if (!away) return;
    const again = () => look(Math.min(pause * 1.5, LAST_PAUSE));
    if (!(await answers('no-cors'))) return again();
    if (await answers('cors')) return noticePresence();
    emit('blocked');
    again();
  }, pause);
}

async function answers(mode) {
  const limit = AbortSignal.timeout(PATIENCE);
  try {
    await fetch(`${api}/`, { method: 'GET', mode, credentials: 'omit', cache: 'no-store', signal: limit });
    return true;
  } catch {
    return false;
  }
}
