// What runs in the page of watch.mjs: one player on one <video>, and what reads the number out of every picture.
/* global Hls, shaka, videojs */
(() => {
  const blocks = 20; // as in stamp_test.go
  const lines = [];
  let shown = [];
  let cues = () => {}; // looks for new ones
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
      window.trick = (rate) => player.trickPlay(rate);
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
    report(hls, video);
    hls.loadSource(url);
    hls.attachMedia(video);
  }

  // report tells what hls.js and the <video> know beside the pictures, as playerNews of viewing_test.go.
  function report(hls, video) {
    const tell = (kind, what) => lines.push({ tell: kind, ...what });
    hls.on(Hls.Events.MANIFEST_PARSED, (_, { levels }) => tell("manifest", {
      levels: levels.map(({ width, height, codecs, videoCodec, videoRange }) => ({ width, height, codecs: codecs ?? videoCodec, range: videoRange })),
    }));
    hls.on(Hls.Events.LEVEL_SWITCHED, (_, { level }) => tell("level", { level }));
    let ranges = "";
    hls.on(Hls.Events.LEVEL_UPDATED, (_, { details }) => {
      const ids = Object.keys(details.dateRanges ?? {}).sort();
      if (ids.join("\n") !== ranges) tell("ranges", { ids });
      ranges = ids.join("\n");
    });
    hls.on(Hls.Events.FRAG_PARSING_METADATA, (_, { samples }) => {
      for (const { pts, data } of samples) tell("id3", { start: pts, text: String.fromCharCode(...data) });
    });
    video.addEventListener("resize", () => tell("size", { width: video.videoWidth, height: video.videoHeight }));
    const seen = new Set();
    cues = () => {
      for (const track of video.textTracks) {
        if (track.mode === "disabled") track.mode = "hidden"; // or it has no cues
        for (const { startTime: start, endTime, text } of track.cues ?? []) {
          const end = Number.isFinite(endTime) ? endTime : 1e9;
          const cue = { kind: track.kind, language: track.language, start, end, text: text ?? "" };
          const key = JSON.stringify(cue);
          if (!seen.has(key)) tell("cue", cue);
          seen.add(key);
        }
      }
    };
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
    cues();
    const told = lines.splice(0);
    if (shown.length > 0) told.push({ frames: shown });
    shown = [];
    return told;
  };
})();
