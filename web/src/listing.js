// What there is to watch. Everybody sees what publishers list; who has an API token sees what that one may read.

const key = 'oxbow.token';

/** The API token, kept in this browser; empty is none. */
export const token = {
  get value() {
    try { return localStorage.getItem(key) ?? ''; } catch { return ''; }
  },
  set value(text) {
    try { if (text) localStorage.setItem(key, text); else localStorage.removeItem(key); } catch { /* a private window */ }
  },
};

/** The server did not take the token. */
export class Unauthorized extends Error {}

async function get(path, headers = {}) {
  const answer = await fetch(path, { headers, cache: 'no-store', signal: AbortSignal.timeout(10_000) });
  if (answer.status === 401) throw new Unauthorized((await answer.json().catch(() => ({}))).detail ?? 'wrong token');
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  return answer.json();
}

let known = { value: '', answer: null }; // what the server says of the token: asked once

/** What the token may do: {publisher, scopes}, as the server says it; null without a token. */
export async function rights() {
  const { value } = token;
  if (!value) known = { value, answer: null };
  if (known.value !== value) {
    const answer = get('/v1/token', { Authorization: `Bearer ${value}` });
    known = { value, answer };
    answer.catch(() => { if (known.answer === answer) known = { value: '', answer: null }; });
  }
  return known.answer;
}

/**
 * Gives {live, recordings, archives, base, open}: rows of {publisher, stream, recording, state, started, ended, duration,
 * bytes}, newest first, what goes before media paths, and whether that is only what everybody sees. With a token that may read, rows have {name, kept, attempts, error, progress}
 * too; with an administrator's, archives are the stores as the archivers see them.
 */
export async function list() {
  const open = get('/v1/listing');
  const may = await rights();
  const has = (...scopes) => Boolean(may?.scopes.some((scope) => scopes.includes(scope)));
  if (!has('admin', 'write', 'read')) {
    const { live, recordings, playback_url: base } = await open;
    return { live: live.map(row), recordings: recordings.map(row), archives: [], base, open: true };
  }
  const headers = { Authorization: `Bearer ${token.value}` };
  const [{ playback_url: base }, live, recordings, archives] = await Promise.all([
    open,
    get('/v1/recordings?limit=200&state=live&state=interrupted', headers),
    get('/v1/recordings?limit=200&state=ended&state=archiving&state=archived', headers),
    has('admin') ? get('/v1/archives', headers) : { items: [] },
  ]);
  return { live: live.items.map(row), recordings: recordings.items.map(row), archives: archives.items, base, open: false };
}

/** How many watch a stream, or a recording; null where the token may not see that, or nobody knows. */
export async function viewers({ publisher, stream, recording }) {
  const may = await rights().catch(() => null);
  if (!may || (may.publisher && may.publisher !== publisher)
    || !may.scopes.some((scope) => ['admin', 'write', 'read'].includes(scope))) return null;
  const of = recording ? `recordings/${recording}` : `publishers/${publisher}/streams/${stream}`;
  const since = new Date(Date.now() - 120_000).toISOString(); // the figures over time are not shown
  const answer = await get(`/v1/${of}/viewing?since=${since}`, { Authorization: `Bearer ${token.value}` }).catch(() => null);
  return answer?.viewers ?? null;
}

function row(r) {
  return {
    publisher: r.publisher,
    stream: r.stream,
    recording: r.recording ?? r.id,
    state: r.state,
    started: Date.parse(r.started_at),
    ended: r.ended_at ? Date.parse(r.ended_at) : 0,
    duration: r.duration_ms,
    bytes: r.bytes ?? 0,
    name: r.name ?? '',
    kept: Boolean(r.keep || r.held),
    attempts: r.attempts ?? 0,
    error: r.last_error ?? '',
    progress: r.progress ?? null,
  };
}

/**
 * Asks for the playlist of a stream or a recording. Gives {status}, with the detail of an error, and, when it is there,
 * the recording that it leads to and whether that is live. A stream's playlist names its recording in the path of its renditions.
 */
export async function probe(url) {
  try {
    const answer = await fetch(url, { cache: 'no-store', signal: AbortSignal.timeout(10_000) });
    if (!answer.ok) return { status: answer.status, detail: (await answer.json().catch(() => ({}))).detail };
    return { status: answer.status, ...leadsTo(await answer.text()) };
  } catch {
    return { status: 0 };
  }
}

/** What a multivariant playlist leads to: its first rendition's URI is [recording/][live/]name.m3u8. */
export function leadsTo(playlist) {
  const uri = playlist.split('\n').map((line) => line.trim()).find((line) => line && !line.startsWith('#')) ?? '';
  const [, recording = '', live] = /^(?:([0-7][0-9a-z]{25})\/)?(live\/)?[^/]+$/.exec(uri) ?? [];
  return { recording, live: Boolean(live) };
}
