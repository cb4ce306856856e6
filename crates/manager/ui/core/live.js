/**
 * What the node is doing right now, second by second: its own stream of it, or, where a node has none, what follows
 * from the counters of `/status`.
 */

import { Refusal, get, raw } from './api.js';
import { hasEndpoint } from './endpoints.js';

/** How many seconds are kept for charts. */
export const KEPT = 180;
const PERIOD = 1000;
/** Octets of one event at most; what is longer is none of ours. */
const LONGEST = 4 << 20;

/**
 * Calls `see` with each picture of the node, with the targets of one upstream, until `signal` ends it, and `refused`
 * when there is none to be had.
 */
export async function watch(see, signal, { upstream = '', refused = () => {} } = {}) {
  while (!signal.aborted) {
    try {
      if (await hasEndpoint('/bascule/live')) {
        return await follow(`/bascule/live?upstreams=${upstream}`, see, signal, refused);
      }
      return await poll(see, signal);
    } catch (error) {
      // Nobody knows yet what the node has.
      if (error instanceof Refusal) refused(error);
      await pause(signal);
    }
  }
}

/** Calls `see` with each event of a stream until `signal` ends it, and `refused` when there is none to be had. */
export async function follow(path, see, signal, refused = () => {}) {
  while (!signal.aborted) {
    try {
      const answer = await raw('GET', path, undefined, {
        headers: { Accept: 'text/event-stream' },
        stream: true,
        signal,
      });
      const isStream = answer.headers.get('content-type')?.startsWith('text/event-stream');
      if (answer.ok && isStream) await read(answer, see);
      else if (answer.ok) see(await answer.json());
      else refused(new Refusal(answer.status, await answer.json().catch(() => null)));
    } catch (error) {
      if (signal.aborted) return;
    }
    await pause(signal);
  }
}

/** Reads a stream of events. */
async function read(answer, see) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value.replaceAll('\r', '');
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const lines = text
        .slice(0, end)
        .split('\n')
        .filter((line) => line.startsWith('data:'));
      text = text.slice(end + 2);
      if (lines.length > 0) see(JSON.parse(lines.map((line) => line.slice(5)).join('\n')));
    }
    if (text.length > LONGEST) return;
  }
}

/** The little that `/status` says, in the same shape. */
async function poll(see, signal) {
  let before = null;
  while (!signal.aborted) {
    try {
      const { server } = await get('/status', { signal, global: true });
      const time = Date.now() / 1000;
      const rate = before ? Math.max(0, server.total_requests - before.total) / (time - before.time) : 0;
      before = { total: server.total_requests, time };
      see({
        time,
        limited: true,
        connections: {
          active: server.connections_active,
          reading: server.connections_reading,
          writing: server.connections_writing,
          waiting: server.connections_waiting,
        },
        requests: { total: server.total_requests, per_second: rate },
      });
    } catch (error) {
      if (signal.aborted) return;
    }
    await pause(signal);
  }
}

function pause(signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, PERIOD);
    signal.addEventListener(
      'abort',
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
