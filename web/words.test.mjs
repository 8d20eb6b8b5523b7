import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leadsTo } from './src/listing.js';
import { prefix, renewed } from './src/pass.js';
import { ago, behind, clock, fate, refusal, size, troubles } from './src/words.js';

test('a length of time reads like a clock', () => {
  for (const [ms, want] of [[-5, '0:00'], [999, '0:01'], [65_000, '1:05'], [3_600_000, '1:00:00'], [3_723_000, '1:02:03']]) {
    assert.equal(clock(ms), want);
  }
});

test('the past is told roughly', () => {
  const now = Date.UTC(2026, 10, 20, 12);
  assert.equal(ago(now + 5000, now), 'just now');
  assert.equal(ago(now - 59 * 60_000, now), '59 min ago');
  assert.equal(ago(now - 23 * 3_600_000, now), '23 h ago');
  assert.match(ago(now - 48 * 3_600_000, now), /2026/);
});

test('sizes and latencies', () => {
  assert.equal(size(0), '0 B');
  assert.equal(size(1500), '1.5 kB');
  assert.equal(size(999_700), '1.0 MB');
  assert.equal(size(370_370_367), '370 MB');
  assert.equal(size(5e15), '5000 TB');
  assert.equal(behind(2.04), '2.0 s behind live');
  assert.equal(behind(90), '1:30 behind live');
});

test('who runs the server sees what becomes of a recording', () => {
  assert.equal(fate({ state: 'archived' }), '');
  assert.equal(fate({ state: 'archived', kept: true }), 'kept');
  assert.equal(fate({ state: 'ended', attempts: 0 }), 'not archived yet');
  assert.equal(fate({ state: 'ended', attempts: 1 }), 'not archived yet, 1 failed try');
  assert.equal(fate({ state: 'ended', attempts: 2 }), 'not archived yet, 2 failed tries');
  assert.equal(fate({ state: 'archiving' }), 'being archived');
  const progress = { done_bytes: 5e8, total_bytes: 1e9, rate_bps: 1e7, eta_s: 50 };
  assert.equal(fate({ state: 'archiving', progress }), 'being archived · 50 % · 10.0 MB/s · 0:50 to go');
  const now = Date.UTC(2026, 10, 20, 12);
  const archives = [
    { name: 'default', state: 'ok', last_error: '', since: '2026-11-20T11:00:00Z' },
    { name: 'cold', state: 'denied', last_error: 'stat object x: temporarily unavailable: the store refuses access', since: '2026-11-20T11:50:00Z' },
  ];
  assert.deepEqual(troubles(archives, now), ['Archive cold: denied, since 10 min ago: the store refuses access']);
});

test('a refusal says what to expect', () => {
  for (const status of [0, 404, 429, 500, 503]) assert.ok(refusal(status).again, String(status));
  for (const status of [400, 401, 403, 410]) assert.ok(!refusal(status).again, String(status));
  assert.match(refusal(410).text, /deleted/);
  assert.match(refusal(403).text, /playback token/);
});

test('a playlist tells its recording and whether that is live', () => {
  const id = '01jd0000000000000000000001';
  const playlist = (uri) => `#EXTM3U\r\n#EXT-X-STREAM-INF:BANDWIDTH=1\r\n${uri}\r\n`;
  assert.deepEqual(leadsTo(playlist(`${id}/live/video.m3u8`)), { recording: id, live: true });
  assert.deepEqual(leadsTo(playlist(`${id}/video.m3u8`)), { recording: id, live: false });
  assert.deepEqual(leadsTo(playlist('live/video.m3u8')), { recording: '', live: true });
  assert.deepEqual(leadsTo(playlist('video.m3u8')), { recording: '', live: false });
  assert.deepEqual(leadsTo('<html>'), { recording: '', live: false });
});

test('a playback token is put in front of a path, and renewed in a URL', () => {
  const known = new Map([['acme', { token: 'new.a.b' }]]);
  assert.equal(prefix('acme', known), '/t/new.a.b');
  assert.equal(prefix('beta', known), '');
  const url = (token, publisher) => `https://edge.example/t/${token}/${publisher}/show/live/video.m3u8?_HLS_msn=1`;
  assert.equal(renewed(url('old.a.b', 'acme'), known), url('new.a.b', 'acme'));
  assert.equal(renewed(url('old.a.b', 'beta'), known), url('old.a.b', 'beta'));
  assert.equal(renewed('https://edge.example/acme/t/index.m3u8', known), 'https://edge.example/acme/t/index.m3u8');
});
