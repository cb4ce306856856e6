/**
 * Requests to the Admin API. Whoever calls need not care whether it is away or wants to know who asks: a request that
 * lacks credentials waits until somebody has logged in, and is then sent again.
 */

import { api, hasSessions, login, tokenHeader } from './config.js';
import { emit } from './events.js';

/** An answer that refuses. `fields` says what is wrong with which field. */
export class Refusal extends Error {
  constructor(status, body) {
    super(body?.message ?? `HTTP ${status}`);
    this.status = status;
    this.body = body;
    this.fields = body?.fields ?? null;
  }
}

/** No answer: the Admin API cannot be reached. */
export class Away extends Error {}

/** How long an answer may take. */
const PATIENCE = 30_000;
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
  const text = await answer.text();
  const body = parse(text);
  if (!answer.ok) throw new Refusal(answer.status, body ?? { message: text });
  if (method !== 'GET') emit('written', { method, path, content, global: options.global });
  return body;
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
    throw new Away(api);
  }
  noticePresence();
  if (answer.status === 401 && login !== 'none' && !options.anonymous) {
    await enter();
    return raw(method, path, content, options);
  }
  return answer;
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

/** Looks again and again, until the Admin API answers whatever it may be. */
function look(pause) {
  setTimeout(async () => {
    if (!away) return;
    try {
      await fetch(`${api}/`, {
        method: 'GET',
        mode: 'no-cors',
        credentials: 'omit',
        cache: 'no-store',
        signal: AbortSignal.timeout(PATIENCE),
      });
      noticePresence();
    } catch {
      look(Math.min(pause * 1.5, LAST_PAUSE));
    }
  }, pause);
}
