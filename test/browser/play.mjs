// Plays a page's <video> in headless Chromium and reports what a viewer saw, as one line of JSON.
//
//   node play.mjs URL [--seconds N] [--until-ended] [--screenshot FILE] [--color-scheme light|dark]
//     [--trust SPKI] [--quic HOST:PORT]
//
// The report: first_frame_ms (from navigation), seconds played, stalls (waits of more than 250 ms after the first
// frame) and their total, frames decoded and dropped, latency_s behind the player's live edge where the page tells it,
// errors that the page or the console gave, ended, and of its media requests how many came by each protocol and how many
// were blocking reloads. With --trust the certificate with that hash (SHA-256 of its key, base64) is taken for valid;
// with --quic that host is asked by HTTP/3 from the start.
import { chromium } from "playwright-core";
import { parseArgs } from "node:util";

const { values: options, positionals: [url] } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: "string", default: "5" },
    "until-ended": { type: "boolean", default: false },
    screenshot: { type: "string" },
    "color-scheme": { type: "string", default: "dark" },
    width: { type: "string", default: "1280" },
    chromium: { type: "string", default: process.env.CHROMIUM ?? "/usr/bin/chromium" },
    trust: { type: "string" },
    quic: { type: "string" },
  },
});

// Without these, Chromium looks for its maker's hosts at every start.
const quiet = [
  "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
];
quiet.push(options.quic ? `--origin-to-force-quic-on=${options.quic}` : "--disable-quic");
if (options.trust) quiet.push(`--ignore-certificate-errors-spki-list=${options.trust}`);
// A busy machine may take long to start it, and for each step.
const patience = 120_000;
const browser = await chromium.launch({ executablePath: options.chromium, args: quiet, timeout: patience });
try {
  const page = await browser.newPage({
    viewport: { width: Number(options.width), height: 800 },
    colorScheme: options["color-scheme"],
  });
  page.setDefaultTimeout(patience);
  const errors = [];
  page.on("pageerror", (error) => errors.push(`page: ${error.message}`));
  page.on("console", (message) => {
    const { url } = message.location();
    // A show has no picture in its first seconds: the page asks again.
    if (message.type() !== "error" || (/thumbnail\.jpg/.test(url) && / 404 /.test(message.text()))) return;
    errors.push(`console: ${message.text()} ${url}`);
  });
  await page.addInitScript(observe);
  await page.goto(url);
  const deadline = Number(options.seconds) * 1000;
  await page.waitForFunction(
    ([ms, untilEnded]) => {
      const s = window.__seen;
      if (s.ended) return true;
      return !untilEnded && s.firstFrame !== undefined && performance.now() - s.firstFrame >= ms;
    },
    [deadline, options["until-ended"]],
    { timeout: deadline + patience, polling: 100 },
  ).catch((error) => errors.push(`wait: ${error.message.split("\n")[0]}`));
  const report = await page.evaluate(() => {
    const s = window.__seen;
    const video = document.querySelector("video");
    const quality = video?.getVideoPlaybackQuality?.();
    return {
      first_frame_ms: Math.round(s.firstFrame ?? -1),
      played_s: video ? Number(video.currentTime.toFixed(3)) : 0,
      start_s: s.startTime,
      stalls: s.stalls,
      stalled_ms: Math.round(s.stalledFor),
      frames: quality?.totalVideoFrames ?? 0,
      dropped: quality?.droppedVideoFrames ?? 0,
      width: video?.videoWidth ?? 0,
      latency_s: window.oxbow?.player?.state?.latency ?? null,
      media_errors: s.mediaErrors,
      ended: s.ended,
      protocols: s.protocols,
      reloads: s.reloads,
    };
  });
  if (options.screenshot) await page.screenshot({ path: options.screenshot });
  console.log(JSON.stringify({ ...report, errors }));
} finally {
  await browser.close();
}

// observe runs in the page before its own scripts and watches every <video>.
function observe() {
  const seen = { stalls: 0, stalledFor: 0, mediaErrors: [], ended: false, protocols: {}, reloads: 0 };
  new PerformanceObserver((list) => {
    for (const { name, nextHopProtocol } of list.getEntries()) {
      if (!/\.(m3u8|mp4|m4s)(\?|$)/.test(name)) continue;
      seen.protocols[nextHopProtocol] = (seen.protocols[nextHopProtocol] ?? 0) + 1;
      if (/_HLS_msn=/.test(name)) seen.reloads += 1;
    }
  }).observe({ type: "resource" });
  window.__seen = seen;
  let waitingSince;
  const on = (type, handle) => document.addEventListener(type, handle, true); // media events do not bubble
  on("loadeddata", (event) => {
    const video = event.target;
    video.requestVideoFrameCallback?.((now, frame) => {
      if (seen.firstFrame === undefined) {
        seen.firstFrame = now;
        seen.startTime = frame.mediaTime;
      }
    });
  });
  on("waiting", () => {
    if (seen.firstFrame !== undefined) waitingSince ??= performance.now();
  });
  const resumed = () => {
    if (waitingSince === undefined) return;
    const waited = performance.now() - waitingSince;
    waitingSince = undefined;
    if (waited > 250) {
      seen.stalls += 1;
      seen.stalledFor += waited;
    }
  };
  on("playing", resumed);
  on("timeupdate", (event) => {
    if (!event.target.paused && event.target.readyState >= 3) resumed();
  });
  on("ended", () => { seen.ended = true; });
  on("error", (event) => {
    if (event.target instanceof HTMLMediaElement) seen.mediaErrors.push(event.target.error?.message ?? "unknown");
  });
}
