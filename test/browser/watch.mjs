// Plays a stream or recording with one player in headless Chromium and tells what it shows while it does.
//
//   node watch.mjs PLAYER URL [--config JSON] [--chromium FILE] [--trust HASH] [--log]
//
// PLAYER is a name in page.js; with --trust the certificate with that hash (SHA-256 of its key, base64) is valid. Every line on standard output is one JSON object: {load: ms} when the player was given
// the URL; {frames: [[ms, media seconds, number], ...]}, the pictures that were shown, with the number that is read out
// of each (-1: unreadable); {error, fatal}; {seeked: ms}; {ended: ms}; {dropped} at the end; with --log {log, at}: what
// the console, the network and Chromium's own player say. Times are wall clock. Lines on standard input:
// {"seek": seconds from the start}, {"level": index, of hls.js}, {"trick": rate, of Shaka}, {"stop": true}. What hls.js
// tells beside is in {tell: kind, ...}: see page.js.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const { values: options, positionals: [player, url] } = parseArgs({
  allowPositionals: true,
  options: {
    config: { type: "string", default: "{}" },
    chromium: { type: "string", default: "/usr/bin/chromium" },
    trust: { type: "string" },
    log: { type: "boolean", default: false },
  },
});
const tell = (object) => process.stdout.write(`${JSON.stringify(object)}\n`);

const scripts = {
  "hls.js": "hls.js/dist/hls.js",
  "hls.js 1.5": "hls.js-1.5/dist/hls.js",
  "Shaka": "shaka-player/dist/shaka-player.compiled.js",
  "video.js": "video.js/dist/video.js",
};
const files = { "/page.js": ["page.js", "text/javascript"] };
if (scripts[player]) files["/player.js"] = [`node_modules/${scripts[player]}`, "text/javascript"];
const html = `<!doctype html><meta charset="utf-8"><title>${player}</title><link rel="icon" href="data:,">
<video id="video" muted playsinline crossorigin="anonymous" width="640" height="360"></video>
${files["/player.js"] ? '<script src="/player.js"></script>' : ""}<script src="/page.js"></script>`;

const server = createServer(async (request, response) => {
  const file = files[request.url];
  if (request.url === "/") response.setHeader("Content-Type", "text/html").end(html);
  else if (file) response.setHeader("Content-Type", file[1]).end(await readFile(new URL(file[0], import.meta.url)));
  else response.writeHead(404).end();
});
await new Promise((listening) => { server.listen(0, "127.0.0.1", listening); });

// Without these, Chromium looks for its maker's hosts at every start.
const quiet = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
];
if (options.trust) quiet.push(`--ignore-certificate-errors-spki-list=${options.trust}`);
// A busy machine may take long to start it, and for each step.
const patience = 120_000;
const browser = await chromium.launch({ executablePath: options.chromium, args: quiet, timeout: patience });
try {
  const page = await browser.newPage({ viewport: { width: 800, height: 450 } });
  page.setDefaultTimeout(patience);
  page.on("pageerror", (error) => tell({ error: `page: ${error.message}`, fatal: true }));
  page.on("console", (message) => {
    if (options.log) tell({ log: message.text(), at: Date.now() });
    if (message.type() === "error") tell({ error: `console: ${message.text()}`, fatal: false });
  });
  if (options.log) { // and what Chromium itself has to say
    page.on("response", (response) => tell({ log: `${response.status()} ${response.url()}`, at: Date.now() }));
    const session = await page.context().newCDPSession(page);
    await session.send("Media.enable");
    for (const event of ["playerErrorsRaised", "playerMessagesLogged"]) {
      session.on(`Media.${event}`, (message) => tell({ log: JSON.stringify(message), at: Date.now() }));
    }
  }
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  let stopped = false;
  const commands = createInterface({ input: process.stdin });
  commands.on("line", (line) => {
    const { seek, level, trick, stop } = JSON.parse(line);
    const fault = (error) => tell({ error: String(error), fatal: true });
    if (level !== undefined) page.evaluate((to) => { window.hls.nextLevel = to; }, level).catch(fault);
    if (trick !== undefined) page.evaluate((rate) => window.trick(rate), trick).catch(fault);
    if (seek !== undefined) page.evaluate((to) => window.seek(to), seek).catch((error) => tell({ error: String(error), fatal: true }));
    if (stop) stopped = true;
  });
  commands.on("close", () => { stopped = true; });
  await page.evaluate(([name, address, config]) => window.watch(name, address, config), [player, url, JSON.parse(options.config)]);
  const flush = async () => {
    for (const line of await page.evaluate(() => window.news())) tell(line);
  };
  while (!stopped) {
    await flush();
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
  await flush();
  tell({ dropped: await page.evaluate(() => document.querySelector("video").getVideoPlaybackQuality().droppedVideoFrames) });
} finally {
  await browser.close();
  server.close();
}
process.exit(0);
