// What the page asks of the server with each kind of token, and how it keeps playback tokens.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Unauthorized, list, rights, token } from './src/listing.js';
import { accept, forget, obtain, prefix, renew, renewed } from './src/pass.js';
import { cantSign, holds } from './src/words.js';

const hour = 3_600_000;

// A browser's storage, and a server that knows one token.
function stage(t, { scopes, publisher = '' }) {
  const kept = new Map();
  const asked = [];
  globalThis.localStorage = {
    getItem: (name) => kept.get(name) ?? null, setItem: (name, text) => kept.set(name, text), removeItem: (name) => kept.delete(name),
  };
  let signed = 0;
  const page = { items: [], live: [], recordings: [], playback_url: 'https://edge.example' };
  t.mock.method(globalThis, 'fetch', async (path, { method = 'GET', headers = {} } = {}) => {
    asked.push(`${method} ${path.replace(/\?.*/, '')}`);
    const needs = path.startsWith('/v1/listing') || path === '/v1/token' ? []
      : path.startsWith('/v1/archives') ? ['admin'] : method === 'POST' ? ['sign', 'admin'] : ['read', 'write', 'admin'];
    if (path !== '/v1/listing' && headers.Authorization !== 'Bearer right') {
      return Response.json({ detail: 'this server does not know the token' }, { status: 401 });
    }
    if (needs.length && !scopes.some((s) => needs.includes(s))) return Response.json({ detail: 'scope' }, { status: 403 });
    if (path === '/v1/token') return Response.json({ publisher, scopes });
    if (method === 'POST') return Response.json({ token: `n${++signed}.a.b`, expires_at: new Date(Date.now() + hour).toISOString() });
    return Response.json(page);
  });
  forget();
  void rights(); // without a token: what was known of the last one is forgotten
  return asked;
}

test('a token is asked for no list that it may not see', async (t) => {
  const lists = ['GET /v1/recordings', 'GET /v1/recordings'];
  for (const [scopes, want] of [
    [['admin'], ['GET /v1/archives', ...lists]], [['read'], lists], [['write', 'sign'], lists], [['sign'], []],
  ]) {
    await t.test(scopes.join(), async (one) => {
      const asked = stage(one, { scopes });
      token.value = '';
      await list();
      token.value = 'right';
      asked.length = 0;
      const { live, archives, base, open } = await list();
      await list();
      assert.deepEqual([live, archives, base, open], [[], [], 'https://edge.example', !want.length]);
      const of = (path) => asked.filter((a) => a.endsWith(path)).length;
      assert.deepEqual(asked.slice(0, 2).sort(), ['GET /v1/listing', 'GET /v1/token']);
      assert.deepEqual([of('/v1/recordings'), of('/v1/archives')], [2 * want.filter((a) => a.endsWith('recordings')).length, want.length === 3 ? 2 : 0]);
      token.value = '';
      assert.equal(await rights(), null);
    });
  }
});

test('a token that the server does not know is told so, each time', async (t) => {
  stage(t, { scopes: ['admin'] });
  token.value = 'wrong';
  await assert.rejects(list(), Unauthorized);
  await assert.rejects(list(), /does not know the token/);
});

test('who has no token, or one that may not sign, hears what to do', async (t) => {
  const asked = stage(t, { scopes: ['read'], publisher: 'acme' });
  token.value = '';
  assert.match(await obtain('acme'), /playback token only/);
  token.value = 'right';
  assert.match(await obtain('acme'), /scope sign/);
  assert.match(await obtain('beta'), /for acme alone/);
  assert.equal(asked.filter((a) => a.startsWith('POST')).length, 0);
  assert.equal(cantSign({ publisher: '', scopes: ['admin'] }, 'acme'), '');
  assert.equal(cantSign({ publisher: 'acme', scopes: ['sign'] }, 'acme'), '');
  assert.equal(holds({ publisher: 'acme', scopes: ['read', 'sign'] }), 'The token is used. It is for acme alone, with the scopes read, sign.');
  assert.equal(holds({ publisher: '', scopes: ['admin'] }), 'The token is used. It is for all publishers, with the scope admin.');
});

test('playback tokens are renewed at half of their time, in URLs that are in use too', async (t) => {
  const asked = stage(t, { scopes: ['sign'] });
  token.value = 'right';
  assert.equal(await obtain('acme'), '');
  const url = `https://edge.example${prefix('acme')}/acme/show/live/video.m3u8`;
  assert.equal(prefix('acme'), '/t/n1.a.b');
  await renew(Date.now() + hour / 2 - 60_000);
  assert.equal(prefix('acme'), '/t/n1.a.b');
  await renew(Date.now() + hour / 2 + 60_000);
  assert.equal(prefix('acme'), '/t/n2.a.b');
  assert.equal(renewed(url), 'https://edge.example/t/n2.a.b/acme/show/live/video.m3u8');
  assert.equal(asked.filter((a) => a.startsWith('POST')).length, 2);
});

test('a playback token of the address is used as it is', async (t) => {
  const asked = stage(t, { scopes: ['read'] });
  token.value = '';
  accept('acme', 'not a token/../');
  assert.equal(prefix('acme'), '');
  accept('acme', 'given.a.b');
  assert.equal(prefix('acme'), '/t/given.a.b');
  await renew(Date.now() + 100 * hour);
  assert.equal(prefix('acme'), '/t/given.a.b');
  assert.match(await obtain('acme', 'it has expired'), /This link does not play: it has expired/);
  assert.equal(asked.length, 0);
});
