// The page: what the path asks for, the lists, and the player between them.
import { Player } from './player.js';
import { Unauthorized, list, rights, token, viewers } from './listing.js';
import { accept, forget, obtain, prefix, renew } from './pass.js';
import { ago, behind, cantSign, clock, fate, holds, plain, size, troubles } from './words.js';

const pollLists = 3000; // ms
const pollPictures = 10_000; // ms between two pictures of what is live

const $ = (id) => document.getElementById(id);
const show = (element, text) => {
  element.hidden = !text;
  if (element.textContent !== text) element.textContent = text;
};

// /watch/publisher/stream[/recording] plays just that.
const [, watch, ...names] = location.pathname.split('/').map(decodeURIComponent);
const alone = watch === 'watch';

let base = ''; // what goes before media paths
let chosen = null; // {publisher, stream, recording}: no recording is the stream itself
let listed = { live: [], recordings: [], archives: [] };

const player = new Player($('video'), render);
window.oxbow = { player }; // for the browser's console, and for tests

function path({ publisher, stream, recording }) {
  return [publisher, stream, recording].filter(Boolean).join('/');
}

// The path of a thing at the edge, with what opens it.
function under(item) {
  return `${prefix(item.publisher)}/${path(item)}`;
}

function choose(item, start) {
  chosen = { publisher: item.publisher, stream: item.stream, recording: item.recording };
  const wanted = chosen;
  const address = () => new URL(`${base}${under(wanted)}/index.m3u8`, location.href).href;
  $('title').textContent = `${chosen.publisher}/${chosen.stream}`;
  document.title = `${chosen.publisher}/${chosen.stream} · Oxbow`;
  $('playlist').href = address();
  $('playlist').hidden = false;
  $('alone').href = `/watch/${path(chosen)}`;
  $('alone').hidden = alone;
  player.open({ address, admit: (why) => obtain(wanted.publisher, why), follow: !chosen.recording, start });
  renderLists();
}

// What the player says.
function render(state) {
  const { phase, live, latency, message, next } = state;
  document.documentElement.dataset.phase = phase;
  const row = listed.live.find((r) => r.recording === player.recording);
  const away = live && (player.gap || row?.state === 'interrupted');
  const word = away ? 'Interrupted' : live ? 'Live'
    : phase === 'off' || (phase === 'over' && !chosen?.recording) ? 'Off air'
      : ['playing', 'paused', 'waiting', 'over'].includes(phase) ? 'Recording' : '';
  show($('badge'), word);
  $('badge').dataset.kind = word.toLowerCase().replace(' ', '-');
  show($('latency'), live && !away && latency !== null ? behind(latency) : '');
  const covered = ['loading', 'off', 'failed'].includes(phase) || (phase === 'over' && !chosen?.recording);
  show($('curtain'), covered ? message : '');
  $('message').textContent = message; // for screen readers, also while the curtain shows it
  $('message').classList.toggle('unseen', covered);
  show($('edge'), next ? 'Live now: watch' : live && latency > 8 ? 'Jump to live' : '');
  const back = (live || phase === 'over') && !chosen?.recording && player.recording;
  $('rewind').hidden = !back;
  if (back) $('rewind').href = `/watch/${path({ ...chosen, recording: player.recording })}?from=start`;
  const recording = chosen?.recording ?? player.recording;
  if (chosen) $('playlist').href = `${base}${under(chosen)}/index.m3u8`;
  const whole = recording && !live && ['playing', 'paused', 'waiting', 'over'].includes(phase);
  $('download').hidden = !whole;
  if (whole) $('download').href = `${base}${under({ ...chosen, recording })}/recording.mp4`;
  $('unmute').hidden = !($('video').muted && phase === 'playing');
}

// Shows a row's thumbnail. That of what is live is asked for anew now and then; who has none is asked for it again so,
// and that of what has ended is there or it is not.
function picture(img, row) {
  const live = ['live', 'interrupted'].includes(row.state);
  const url = `${base}${under(row)}/thumbnail.jpg`
    + (live || row.state === 'ended' ? `?at=${Math.floor(Date.now() / pollPictures)}` : '');
  if (img.getAttribute('src') === url) return;
  img.setAttribute('src', url);
}

const refused = new Set(); // publishers whose pictures were refused once

// Who may have playback tokens signed sees the pictures of what is signed, too.
async function unlock(publisher, url) {
  const may = await rights().catch(() => null);
  if (!may || cantSign(may, publisher) || prefix(publisher) || refused.has(publisher)) return;
  refused.add(publisher);
  const answer = await fetch(url, { cache: 'no-store' }).catch(() => null);
  if (answer?.status === 403 && !await obtain(publisher)) renderLists();
}

// The lists keep their elements from poll to poll, so that focus and selection stay.
function fill(ul, rows, make, describe) {
  const old = new Map([...ul.children].map((li) => [li.dataset.key, li]));
  rows.forEach((row, i) => {
    const key = make(row);
    let li = old.get(key);
    old.delete(key);
    if (!li) {
      li = document.createElement('li');
      li.dataset.key = key;
      const a = document.createElement('a');
      a.href = `/watch/${key}`;
      const picture = document.createElement('img');
      picture.alt = '';
      picture.loading = 'lazy';
      picture.addEventListener('load', () => { picture.hidden = false; });
      picture.addEventListener('error', () => {
        picture.hidden = true;
        picture.loading = 'eager'; // a lazy one that is hidden would never come
        unlock(row.publisher, picture.src);
      });
      a.append(document.createElement('strong'), picture, document.createElement('span'));
      const trouble = document.createElement('p');
      trouble.className = 'trouble';
      li.append(a, trouble);
      if (row.ended) {
        const file = document.createElement('a');
        file.className = 'file';
        file.textContent = 'MP4';
        file.title = 'Download as one MP4 file';
        file.download = '';
        li.append(file);
      }
    }
    if (ul.children[i] !== li) ul.insertBefore(li, ul.children[i] ?? null);
    const a = li.firstChild;
    a.firstChild.textContent = `${row.publisher}/${row.stream}${row.name ? `: ${row.name}` : ''}`;
    picture(a.children[1], row);
    a.title = `Began ${new Date(row.started).toLocaleString()}`;
    if (a.lastChild.textContent !== describe(row)) a.lastChild.textContent = describe(row);
    show(a.nextSibling, plain(row.error));
    a.nextSibling.title = row.error;
    if (row.ended) li.lastChild.href = `${base}${under(row)}/recording.mp4`;
    li.dataset.state = row.state;
    if (chosen && path(chosen) === key) a.setAttribute('aria-current', 'true');
    else a.removeAttribute('aria-current');
  });
  for (const li of old.values()) li.remove();
}

function renderLists() {
  const { live, recordings } = listed;
  fill($('live'), live, ({ publisher, stream }) => `${publisher}/${stream}`,
    (r) => (r.state === 'interrupted' ? 'interrupted, ' : '') + `began ${ago(r.started)}`);
  fill($('recordings'), recordings, path, (r) => [
    ago(r.started), clock(r.duration), r.bytes ? size(r.bytes) : '', token.value ? fate(r) : '',
  ].filter(Boolean).join(' · '));
}

async function refresh() {
  try {
    listed = await list();
    base = listed.base;
    const none = !listed.open ? 'No stream is live.' : 'Nothing that its publisher lists is live. '
      + 'Set “listed” for a publisher or a stream, or give an API token that may read, to see it here.';
    show($('live-none'), listed.live.length ? '' : none);
    $('recordings-none').hidden = listed.recordings.length > 0;
    const trouble = troubles(listed.archives).join('\n');
    show($('archives'), trouble);
    $('archives').title = trouble;
    renderLists();
    render(player.state);
  } catch (err) {
    if (err instanceof Unauthorized) {
      token.value = '';
      note(err.message, true);
      return;
    }
    if (!listed.live.length) show($('live-none'), 'The list can not be had at the moment. Trying again…');
  }
}

// Who may read the stream sees how many watch.
async function count() {
  const wanted = chosen;
  const watched = wanted ? await viewers(wanted) : null;
  if (wanted === chosen) show($('viewers'), watched === null ? '' : `${watched} watching`);
}

function note(text, bad = false) {
  $('token-note').textContent = text;
  $('token-note').dataset.bad = String(bad);
  if (bad) $('admin').open = true;
}

// Says what the token is good for. What is wrong with it refresh says.
async function introduce(otherwise) {
  if (!token.value) {
    note(otherwise);
    return;
  }
  const may = await rights().catch(() => null);
  if (may) note(holds(may));
}

function wire() {
  $('lists').addEventListener('click', (event) => {
    const a = event.target.closest('a');
    if (!a || a.className === 'file' || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    const [publisher, stream, recording] = a.parentElement.dataset.key.split('/');
    choose({ publisher, stream, recording });
    $('title').scrollIntoView({ block: 'nearest', behavior: 'smooth' });
  });
  $('unmute').addEventListener('click', () => {
    $('video').muted = false;
    $('video').focus();
  });
  $('video').addEventListener('volumechange', () => render(player.state));
  $('edge').addEventListener('click', () => player.toLive());
  $('token-form').addEventListener('submit', (event) => {
    event.preventDefault();
    token.value = $('token').value.trim();
    forget();
    refused.clear();
    $('token').value = '';
    introduce('No token is used.');
    refresh();
    if (chosen && player.state.phase === 'failed') choose(chosen); // it may be what was missing
  });
  $('token-forget').addEventListener('click', () => {
    token.value = '';
    forget();
    refused.clear();
    note('The token is forgotten.');
    refresh();
  });
}

async function main() {
  wire();
  $('video').muted = true; // browsers let only a muted video play by itself
  if (token.value) introduce();
  if (alone) {
    document.documentElement.dataset.page = 'watch';
    $('admin').hidden = true; // there is no list for it here
    await refresh();
    const start = new URLSearchParams(location.search).get('from') === 'start' ? 0 : undefined;
    accept(names[0], new URLSearchParams(location.hash.slice(1)).get('token')); // what is behind # is sent to nobody
    choose({ publisher: names[0], stream: names[1], recording: names[2] }, start);
  } else {
    $('lists').hidden = false;
    show($('curtain'), 'Looking for something live…');
    await refresh();
  }
  for (;;) {
    if (!alone && !chosen) {
      const first = listed.live[0];
      if (first) choose({ publisher: first.publisher, stream: first.stream });
      else show($('curtain'), 'Nothing is live. The first show plays as soon as it begins.');
    }
    await new Promise((resolve) => setTimeout(resolve, pollLists));
    renew();
    if (!document.hidden) await Promise.all([refresh(), count()]);
  }
}

main();
