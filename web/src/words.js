// Everything that the page says: pure functions from facts to text.

/** A length of time as a clock shows it: "1:02:03", "4:05". */
export function clock(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  const two = (n) => String(n).padStart(2, '0');
  const [hours, minutes, seconds] = [Math.floor(s / 3600), Math.floor(s / 60) % 60, s % 60];
  return hours ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}

/** How long ago, roughly: "just now", "5 min ago", "3 h ago", else the date. */
export function ago(date, now = Date.now()) {
  const minutes = Math.floor((now - date) / 60000);
  if (minutes < 1) return 'just now';
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ago`;
  return new Date(date).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });
}

/** A size in bytes, in powers of 1000: "1.5 GB". */
export function size(bytes) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  for (; bytes >= 999.5 && unit < units.length - 1; unit++) bytes /= 1000;
  return `${bytes >= 99.5 || unit === 0 ? Math.round(bytes) : bytes.toFixed(1)} ${units[unit]}`;
}

/** What becomes of a finished recording, to who runs the server. Of what the archive has there is nothing to say. */
export function fate({ state, attempts, progress, kept }) {
  const words = kept ? ['kept'] : [];
  if (state === 'ended') words.push(attempts ? `not archived yet, ${attempts} failed ${attempts === 1 ? 'try' : 'tries'}` : 'not archived yet');
  if (state === 'archiving') {
    words.push('being archived');
    if (progress?.total_bytes) words.push(`${Math.floor((100 * progress.done_bytes) / progress.total_bytes)} %`);
    if (progress?.rate_bps) words.push(`${size(progress.rate_bps)}/s`);
    if (progress?.eta_s) words.push(`${clock(1000 * progress.eta_s)} to go`);
  }
  return words.join(' · ');
}

/** What of a server's error matters to people: what is wrong and what to do, without the steps that led there. */
export function plain(error) {
  return error.split('temporarily unavailable: ').at(-1);
}

/** Which archives are in trouble, a line each. */
export function troubles(archives, now = Date.now()) {
  return archives.filter((a) => a.state !== 'ok')
    .map((a) => `Archive ${a.name}: ${a.state}, since ${ago(Date.parse(a.since), now)}: ${plain(a.last_error)}`);
}

/** How far behind live a player is. */
export function behind(seconds) {
  return seconds < 60 ? `${seconds.toFixed(1)} s behind live` : `${clock(seconds * 1000)} behind live`;
}

/** What an API token may do: {publisher, scopes}. */
export function holds({ publisher, scopes }) {
  const whose = publisher ? `It is for ${publisher} alone` : 'It is for all publishers';
  return `The token is used. ${whose}, with ${scopes.length > 1 ? 'the scopes' : 'the scope'} ${scopes.join(', ')}.`;
}

/** Why a token can't have playback tokens signed for a publisher; nothing where it can. */
export function cantSign({ publisher: own, scopes }, publisher) {
  if (own && own !== publisher) {
    return `This stream needs a playback token, and your API token is for ${own} alone.`;
  }
  if (!scopes.includes('sign') && !scopes.includes('admin')) {
    return 'This stream needs a playback token, and your API token does not have the scope sign, which makes them: '
      + 'ask an administrator for one that has.';
  }
  return '';
}

/** What an answer to a playlist means for a viewer, and whether to ask again. */
export function refusal(status) {
  switch (status) {
    case 0: return { text: 'The server can not be reached. Trying again…', again: true };
    case 401:
    case 403: return {
      text: 'This stream is played with a playback token only: open a link that has one, '
        + 'or give an API token with the scope sign on the start page.',
      again: false,
    };
    case 404: return { text: 'Nothing here yet. It plays as soon as somebody publishes.', again: true };
    case 410: return { text: 'This recording was deleted.', again: false };
    case 429: return { text: 'The server has too much to do. Trying again…', again: true };
  }
  if (status >= 500) return { text: 'The server can not answer at the moment. Trying again…', again: true };
  return { text: `The server refused: HTTP ${status}.`, again: false };
}
