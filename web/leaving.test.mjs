import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leaving } from './src/leaving.js';

test('a playlist is asked for again only where there is no other edge', () => {
  const timeoutRetry = { maxNumRetry: 2, retryDelayMs: 0 }, errorRetry = { maxNumRetry: 3, retryDelayMs: 1000 };
  const defaults = { playlistLoadPolicy: { default: { maxLoadTimeMs: 20_000, timeoutRetry, errorRetry } } };
  let priority = null;
  const policy = leaving(defaults, () => priority).default;
  assert.equal(policy.maxLoadTimeMs, 20_000);
  assert.equal(policy.errorRetry.maxNumRetry, 3);
  for (const [pathways, retry, want] of [
    [null, true, true], [null, false, false], [['a'], true, true], [['a', 'b'], true, false], [['a', 'b'], false, false],
  ]) {
    priority = pathways;
    for (const { shouldRetry } of [policy.timeoutRetry, policy.errorRetry]) {
      assert.equal(shouldRetry({}, 0, false, undefined, retry), want, `${pathways}, ${retry}`);
    }
  }
  assert.equal(timeoutRetry.shouldRetry, undefined);
});
