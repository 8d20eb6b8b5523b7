// How the player leaves an edge that fails.

/**
 * Gives hls.js's playlistLoadPolicy with one rule more: while content steering knows of another edge, a playlist that
 * fails is not asked for again where it was. By itself hls.js tries for seconds after a timeout or a 5xx, longer than
 * the buffer of who watches live. defaults is Hls.DefaultConfig, pathways gives the steering manifest's priority, if
 * there is one.
 */
export function leaving(defaults, pathways) {
  const policy = defaults.playlistLoadPolicy.default;
  const shouldRetry = (config, count, timeout, response, retry) => retry && !(pathways()?.length > 1);
  return {
    default: {
      ...policy,
      timeoutRetry: { ...policy.timeoutRetry, shouldRetry },
      errorRetry: { ...policy.errorRetry, shouldRetry },
    },
  };
}
