import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leadsTo } from './src/listing.js';
import { ago, behind, clock, refusal, size } from './src/words.js';

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

test('a refusal says what to expect', () => {
  for (const status of [0, 404, 429, 500, 503]) assert.ok(refusal(status).again, String(status));
  for (const status of [400, 401, 403, 410]) assert.ok(!refusal(status).again, String(status));
  assert.match(refusal(410).text, /deleted/);
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
