// What runs in the page of watch.mjs: one player on one <video>, and what reads the number out of every picture.
/* global Hls, shaka, videojs */
(() => {
  const blocks = 20; // as in stamp_test.go
  const lines = [];
  let shown = [];
  const now = () => performance.timeOrigin + performance.now();
  const fault = (text, fatal) => lines.push({ error: text, fatal: Boolean(fatal), at: now() });

  const canvas = document.createElement("canvas");
  canvas.width = blocks * 8;
  canvas.height = 4;
  const context = canvas.getContext("2d", { willReadFrequently: true });

  // readNumber gives the number in the strip at the picture's foot, -1 if there is none.
  function readNumber(video) {
    const { videoWidth: width, videoHeight: height } = video;
    context.drawImage(video, 0, height * (8.25 / 9), width, height * (0.5 / 9), 0, 0, canvas.width, canvas.height);
    const { data } = context.getImageData(0, 2, canvas.width, 1);
    const light = Array.from({ length: blocks }, (_, i) => data[(i * 8 + 4) * 4 + 1]);
    if (light[0] - light[1] < 64) return -1;
    const bits = light.map((l) => (l > (light[0] + light[1]) / 2 ? 1 : 0));
    const value = (from, to) => bits.slice(from, to).reduce((n, bit) => n * 2 + bit, 0);
    const number = value(2, 14);
    return ((number * 37 + 11) & 63) === value(14, 20) ? number : -1;
  }

  const players = {
    "hls.js": playHls,
    "hls.js 1.5": playHls,
    async "Shaka"(video, url, config) {
      shaka.polyfill.installAll();
      const player = new shaka.Player();
      await player.attach(video);
      player.addEventListener("error", ({ detail }) => fault(`Shaka ${detail.severity} ${detail.code}: ${detail.data}`, detail.severity === 2));
      player.configure(config);
      await player.load(url);
      await video.play();
    },
    async "video.js"(video, url, config) {
      const player = videojs(video, { html5: { vhs: { overrideNative: true, ...config } }, liveui: true, autoplay: "muted" });
      player.on("error", () => fault(`video.js: ${player.error()?.message}`, true));
      player.src({ src: url, type: "application/vnd.apple.mpegurl" });
    },
    async "Chromium"(video, url) {
      video.addEventListener("error", () => fault(`media: ${video.error?.message}`, true));
      video.src = url;
      await video.play();
    },
  };

  async function playHls(video, url, config) {
    const hls = new Hls(config);
    window.hls = hls;
    hls.on(Hls.Events.MANIFEST_PARSED, () => video.play());
    hls.on(Hls.Events.ERROR, (_, data) => {
      fault(`hls.js ${data.type} ${data.details} ${data.error?.message ?? data.reason ?? ""} ${data.response?.code ?? ""}`.trim(), data.fatal);
    });
    hls.loadSource(url);
    hls.attachMedia(video);
  }

  window.watch = (name, url, config) => {
    const first = document.querySelector("video");
    const observe = (video) => {
      const see = (_, frame) => {
        shown.push([now(), frame.mediaTime, readNumber(video)]);
        video.requestVideoFrameCallback(see);
      };
      video.requestVideoFrameCallback(see);
      video.addEventListener("ended", () => lines.push({ ended: now() }));
    };
    observe(first);
    lines.push({ load: now() });
    players[name](first, url, config).catch((error) => fault(`${name}: ${error.message ?? error}`, true));
  };

  window.seek = (to) => {
    const video = document.querySelector("video");
    lines.push({ frames: shown });
    shown = [];
    video.addEventListener("seeked", () => lines.push({ seeked: now() }), { once: true });
    video.currentTime = (video.seekable.length ? video.seekable.start(0) : 0) + to;
    if (video.paused) video.play();
  };

  // news gives what was not told yet.
  window.news = () => {
    const told = lines.splice(0);
    if (shown.length > 0) told.push({ frames: shown });
    shown = [];
    return told;
  };
})();
