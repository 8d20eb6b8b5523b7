// Playback tokens, for what is signed. They come with the page's address (#token=...), or the server signs one per
// publisher for who has an API token that may.
import { rights, token } from './listing.js';
import { cantSign, refusal } from './words.js';

const life = 3600; // seconds that a playback token is asked for

/** The playback tokens of this page, by publisher: {token, until}. */
const passes = new Map();

/** What goes in front of the paths of a publisher: nothing while it is not known to be signed. */
export function prefix(publisher, known = passes) {
  const pass = known.get(publisher);
  return pass ? `/t/${pass.token}` : '';
}

/** A URL with the newest playback token in the place of the one that it has. */
export function renewed(url, known = passes) {
  return url.replace(/\/t\/[^/]+\/([^/]+)\//, (old, publisher) => {
    const now = prefix(publisher, known);
    return now ? `${now}/${publisher}/` : old;
  });
}

/** Takes a playback token that somebody gave to the viewer. */
export function accept(publisher, given) {
  if (/^[\w-]+\.[\w-]+\.[\w-]+$/.test(given ?? '')) passes.set(publisher, { token: given, until: Infinity });
}

/**
 * Asks for a playback token of the publisher's. Gives what is missing, or nothing when there is one now. The edge's
 * detail says what is wrong with the one that there was.
 */
export async function obtain(publisher, detail) {
  const had = passes.get(publisher);
  if (!token.value) return had && detail ? `This link does not play: ${detail}` : refusal(403).text;
  try {
    const missing = cantSign(await rights(), publisher);
    if (missing) return missing;
    const answer = await fetch(`/v1/publishers/${encodeURIComponent(publisher)}/playback-tokens`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${token.value}`, 'Content-Type': 'application/json' },
      body: JSON.stringify({ expires_in: `${life}s` }),
      signal: AbortSignal.timeout(10_000),
    });
    const said = await answer.json().catch(() => ({}));
    if (!answer.ok) return `This stream needs a playback token, and the server makes none: ${said.detail ?? `HTTP ${answer.status}`}`;
    passes.set(publisher, { token: said.token, until: Date.parse(said.expires_at) });
    return '';
  } catch {
    return refusal(0).text;
  }
}

/** Has new playback tokens made in the place of those whose time is half over. */
export async function renew(now = Date.now()) {
  const old = [...passes].filter(([, { until }]) => until - now < (life * 1000) / 2);
  await Promise.all(old.map(([publisher]) => obtain(publisher)));
}

/** Forgets them all, with the API token that they came by. */
export function forget() {
  passes.clear();
}
