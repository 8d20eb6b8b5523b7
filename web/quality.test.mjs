import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Quality } from './src/quality.js';

// A quality with a clock that stands until it is set.
function timed() {
  const clock = { at: 1000 };
  const quality = new Quality(() => clock.at);
  const told = [];
  quality.config.reporterCallback({ updateCustomData: (data) => told.push(data) });
  return { quality, clock, last: () => told.at(-1) };
}

test('a start and two stalls are measured', () => {
  const { quality, clock, last } = timed();
  assert.deepEqual(last(), { 'oxbow-bsa': 0, 'oxbow-bsda': 0, 'oxbow-bsn': 0, 'oxbow-bsdn': 0, 'oxbow-err': 0 });
  quality.open();
  quality.starve(); // before the start that is no stall
  clock.at += 700;
  quality.play();
  assert.equal(last()['oxbow-msd'], 700);
  clock.at += 5000;
  quality.starve();
  quality.starve(); // said again
  clock.at += 1200;
  quality.play();
  quality.starve();
  clock.at += 300;
  quality.rest(); // paused
  clock.at += 9000;
  quality.play();
  quality.fail();
  assert.deepEqual(last(), {
    'oxbow-msd': 700, 'oxbow-bsa': 2, 'oxbow-bsda': 1500, 'oxbow-bsn': 2, 'oxbow-bsdn': 1500, 'oxbow-err': 1,
  });
});

test('a stall is new until a request that told of it is answered', () => {
  const { quality, clock, last } = timed();
  const news = () => [last()['oxbow-bsn'], last()['oxbow-bsdn']];
  quality.open();
  quality.play();
  quality.starve();
  quality.sent('https://edge/1.m4s?CMCD=oxbow-bsa%3D1%2Coxbow-bsda%3D0%2Coxbow-bsdn%3D0%2Coxbow-bsn%3D1'); // and lost
  assert.deepEqual(news(), [1, 0]);
  clock.at += 900;
  quality.play();
  assert.deepEqual(news(), [1, 900]);
  quality.answered('https://other/1.m4s?CMCD=oxbow-bsa%3D1%2Coxbow-bsda%3D0%2Coxbow-bsdn%3D0%2Coxbow-bsn%3D1');
  assert.deepEqual(news(), [0, 900]);
  quality.answered('https://other/2.m4s?CMCD=oxbow-bsa%3D1%2Coxbow-bsda%3D900%2Coxbow-bsdn%3D900%2Coxbow-bsn%3D0');
  quality.answered('https://edge/late.m4s?CMCD=oxbow-bsa%3D0%2Coxbow-bsda%3D0');
  assert.deepEqual(news(), [0, 0]);
});

test('the start is told once', () => {
  const { quality, clock, last } = timed();
  quality.open();
  quality.sent('https://edge/live.m3u8?CMCD=ot%3Dm');
  clock.at += 70;
  quality.play();
  quality.sent('https://edge/live.m3u8?CMCD=ot%3Dm');
  assert.equal(last()['oxbow-msd'], 70);
  quality.sent('https://edge/live.m3u8?CMCD=ot%3Dm%2Coxbow-msd%3D70');
  assert.equal(last()['oxbow-msd'], undefined);
  quality.starve();
  assert.equal(last()['oxbow-msd'], undefined);
});

test('what the viewer is waited for is no start', () => {
  const { quality, clock, last } = timed();
  quality.open();
  quality.hold();
  clock.at += 60_000;
  quality.open();
  clock.at += 50;
  quality.play();
  quality.open(); // opened again after a failure
  clock.at += 4000;
  quality.play();
  assert.equal(last()['oxbow-msd'], 50);
});

test('each viewing has a session of its own', () => {
  const [one, two] = [new Quality().id, new Quality().id];
  assert.match(one, /^[0-9a-f]{32}$/);
  assert.notEqual(one, two);
});
