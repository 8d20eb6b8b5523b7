// One video element and what plays in it. The player never gives up on a stream: a show that ends is followed by the
// next, and what fails is opened again, ever more slowly.
import Hls from './hls.min.mjs';
import { leaving } from './leaving.js';
import { probe } from './listing.js';
import { renewed } from './pass.js';
import { Quality } from './quality.js';
import { refusal } from './words.js';

const pollOff = 3000; // ms between looks for the next show
const pollNext = 5000; // the same while the last one's recording plays
const slowest = 10_000; // ms between tries of what fails
const stallWorry = 4000; // ms of standing still before the viewer is told
const hangs = 3000; // ms of standing still though newer media is there before the stream is opened anew
const farBehind = 4; // seconds past the wanted latency at which who watches live is taken forward
const jumpRest = 8000; // ms between two such jumps, at first

/**
 * Phases: idle, loading, playing, paused, waiting (no media comes), off (no show), over (a show ended), failed (and
 * will not be tried again).
 */
export class Player {
  /**
   * change is called with {phase, live, latency, message, next} whenever one of them is another; next says that the
   * stream is live while an older recording of it plays.
   */
  constructor(video, change) {
    this.video = video;
    this.change = change;
    this.state = { phase: 'idle', live: false, latency: null, message: '', next: false };
    this.opening = 0; // counts opens, so that what belongs to an older one is dropped
    const on = (name, act) => video.addEventListener(name, act);
    on('playing', () => {
      this.quality?.play();
      this.set({ phase: 'playing', message: '' });
    });
    on('waiting', () => { if (!video.seeking && !video.paused) this.quality?.starve(); });
    on('play', () => this.quality?.open());
    on('pause', () => {
      this.quality?.rest();
      if (video.ended || this.state.phase !== 'playing') return;
      this.atEdge = false;
      this.set({ phase: 'paused' });
    });
    on('seeking', () => {
      this.quality?.rest();
      this.sought();
    });
    on('ended', () => this.ended());
    on('error', () => { if (!this.hls && video.getAttribute('src')) this.nativeFailed(); });
    setInterval(() => this.tick(), 500);
  }

  set(part) {
    const next = { ...this.state, ...part };
    if (Object.keys(next).every((name) => next[name] === this.state[name])) return;
    this.state = next;
    this.change(next);
  }

  /**
   * Plays {address, admit, follow, start}: address gives the URL; admit, called with why that is refused, gets what opens it
   * and gives what is missing, if anything. Follow the stream from show to show; start is a position in seconds, default
   * live.
   */
  open(target) {
    this.close();
    this.target = target;
    this.quality = new Quality();
    this.tries = 0;
    this.atEdge = target.start === undefined;
    this.rest = jumpRest;
    this.set({ phase: 'loading', live: false, latency: null, message: 'Opening…', next: false });
    this.attempt(this.opening);
  }

  close() {
    this.opening++;
    clearTimeout(this.timer);
    this.hls?.destroy();
    this.hls = null;
    this.details = null;
    this.broken = null;
    this.recording = '';
    this.still = 0;
    this.hanging = 0;
    this.last = 0;
    this.sinceLook = 0;
    this.sinceJump = 0;
    this.video.removeAttribute('src');
    this.video.load();
  }

  async attempt(opening) {
    let found = await probe(this.target.address());
    if (found.status === 403 && opening === this.opening) {
      const missing = await this.target.admit(found.detail);
      if (opening !== this.opening) return;
      if (missing) {
        this.set({ phase: 'failed', live: false, latency: null, message: missing });
        return;
      }
      found = await probe(this.target.address());
    }
    if (opening !== this.opening) return;
    if (found.status !== 200) {
      const { text, again } = refusal(found.status);
      this.set({ phase: again ? 'off' : 'failed', live: false, latency: null, message: text });
      if (again) this.later(found.status === 404 ? pollOff : this.backoff());
      return;
    }
    this.recording = found.recording;
    if (Hls.isSupported()) this.playMSE();
    else if (this.video.canPlayType('application/vnd.apple.mpegurl')) this.playNative();
    else this.set({ phase: 'failed', message: 'This browser plays neither HLS nor Media Source Extensions.' });
  }

  playMSE() {
    const hls = new Hls({
      lowLatencyMode: true,
      playlistLoadPolicy: leaving(Hls.DefaultConfig, () => this.hls?.pathwayPriority),
      workerPath: '/assets/hls.worker.js',
      backBufferLength: 60,
      maxLiveSyncPlaybackRate: 1.1, // what a stall lost is made up for unnoticed
      startPosition: this.target.start ?? -1,
      cmcd: this.quality.config,
      xhrSetup: (xhr, url) => { // the playlists' URIs go on from the token that they were asked for with
        if (renewed(url) !== url) xhr.open('GET', renewed(url), true);
        this.quality.sent(url);
        const { quality } = this;
        xhr.addEventListener('load', () => quality.answered(url));
      },
    });
    this.hls = hls;
    this.recovered = 0;
    hls.on(Hls.Events.MANIFEST_PARSED, () => this.play());
    hls.on(Hls.Events.LEVEL_UPDATED, (_, { details }) => this.updated(details));
    hls.on(Hls.Events.ERROR, (_, data) => { if (data.fatal) this.failed(data); });
    this.quality.open();
    hls.loadSource(this.target.address());
    hls.attachMedia(this.video);
  }

  playNative() {
    this.video.src = this.target.address();
    if (this.target.start !== undefined) this.video.currentTime = this.target.start;
    this.play();
  }

  async play() {
    try {
      await this.video.play();
    } catch (err) {
      if (err.name !== 'NotAllowedError') return;
      this.quality.hold();
      this.set({ phase: 'paused', message: 'Press play: the browser waits for you.' });
    }
  }

  updated(details) {
    this.tries = 0;
    this.details = details;
    if (details.live) this.set({ live: true, next: false });
    else if (this.state.live) this.set({ live: false, latency: null });
  }

  /** gap says that the newest of the live playlist is missing media: its publisher is away. */
  get gap() {
    return Boolean(this.details?.live && this.details.fragments.at(-1)?.gap);
  }

  /** more says that media follows what is shown. A show whose publisher never came back ends in gaps. */
  get more() {
    const { currentTime, duration } = this.video;
    if (duration - currentTime < 0.5) return false;
    return this.details?.fragments.some((f) => !f.gap && f.start + f.duration > currentTime + 0.5) ?? true;
  }

  failed({ type, details, response }) {
    this.quality.fail();
    if (type === Hls.ErrorTypes.MEDIA_ERROR && this.recovered++ < 2) {
      this.hls.recoverMediaError();
      return;
    }
    if (details === Hls.ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR) {
      this.set({ phase: 'failed', message: 'This browser can not decode the stream.' });
      return;
    }
    const status = response?.code ?? 0;
    const said = status === 403 ? { text: 'Asking for access again…', again: true }
      : type === Hls.ErrorTypes.NETWORK_ERROR ? refusal(status)
      : { text: `The player stumbled (${details}). Trying again…`, again: true };
    // What is in the buffer still plays: only when it has run out is the stream opened again.
    if (said.again && this.ahead > 0.5 && !this.video.paused) {
      this.broken = said;
      this.hls.stopLoad();
      return;
    }
    this.giveUp(said);
  }

  /** Closes what failed and, unless that is final, opens it again later. */
  giveUp({ text, again }) {
    this.hls.destroy();
    this.hls = null;
    this.broken = null;
    this.set({ phase: again ? 'waiting' : 'failed', latency: null, message: text });
    if (again) this.later(this.backoff());
  }

  /** Seconds of media in the buffer ahead of what is shown. */
  get ahead() {
    const { buffered, currentTime } = this.video;
    for (let i = 0; i < buffered.length; i++) {
      if (buffered.start(i) <= currentTime + 0.1 && currentTime < buffered.end(i)) return buffered.end(i) - currentTime;
    }
    return 0;
  }

  nativeFailed() {
    this.set({ phase: 'waiting', latency: null, message: 'The stream can not be played. Trying again…' });
    this.later(this.backoff());
  }

  ended() {
    this.set({ phase: 'over', live: false, latency: null, message: this.target.follow
      ? 'The show is over. The next one plays when it begins.' : 'This is the end of the recording.' });
    if (this.target.follow) this.later(pollOff);
  }

  backoff() {
    return Math.min(slowest, 1000 * 1.6 ** this.tries++);
  }

  /** Opens again after a while, or, after the end of a show, when the next one is live. */
  later(ms) {
    const opening = this.opening;
    clearTimeout(this.timer);
    this.timer = setTimeout(async () => {
      if (this.state.phase === 'over') {
        const found = await probe(this.target.address());
        if (opening !== this.opening) return;
        if (!found.live || found.recording === this.recording) { // a cache may say for a while that it is live
          this.later(pollOff);
          return;
        }
      }
      const { tries, state, recording } = this;
      this.close();
      this.tries = tries;
      if (state.phase === 'over' && recording) this.target.start = undefined; // the next show begins live
      this.attempt(this.opening);
    }, ms);
  }

  /** Jumps to the live edge, of the next show when that is on. */
  toLive() {
    if (!this.state.live) {
      this.open({ ...this.target, start: undefined });
      return;
    }
    this.atEdge = true;
    const edge = this.hls?.liveSyncPosition ?? (this.video.seekable.length ? this.video.seekable.end(0) : null);
    if (edge !== null) this.video.currentTime = edge;
    this.play();
  }

  /** Who goes back wants to see that, and is not taken to the live edge again. */
  sought() {
    const { video, last = 0 } = this;
    if (video.currentTime < last - 1.5) this.atEdge = false;
    else if (this.hls?.latency < this.hls?.targetLatency + farBehind) this.atEdge = true;
  }

  /** What stalls have cost who watches live is skipped; the player's own catching up would take minutes. */
  catchUp() {
    const { hls, video } = this;
    this.sinceJump += 500;
    if (!this.atEdge || !hls.liveSyncPosition || this.sinceJump < this.rest) return;
    if (hls.latency < (hls.targetLatency ?? 0) + farBehind || video.currentTime > hls.liveSyncPosition) return;
    this.sinceJump = 0;
    this.rest = Math.min(this.rest * 2, 60_000); // where jumping does not help, do it ever less often
    video.currentTime = hls.liveSyncPosition;
  }

  /** Looks whether a show began while the recording of the last one plays. */
  async look() {
    const opening = this.opening;
    this.sinceLook = 0;
    const found = await probe(this.target.address());
    if (opening !== this.opening || this.state.live) return;
    this.set({ next: Boolean(found.live && found.recording !== this.recording) });
  }

  tick() {
    const { video, hls, state } = this;
    this.sinceLook += 500;
    if (this.target?.follow && !state.live && ['playing', 'paused'].includes(state.phase) && this.sinceLook >= pollNext) {
      this.look();
    }
    if (!['playing', 'waiting', 'loading'].includes(state.phase) || (!hls && !video.getAttribute('src'))) return;
    if (state.live && hls && video.readyState > 0) this.set({ latency: Math.max(0, Math.round(hls.latency * 10) / 10) });
    if (this.broken && this.ahead < 0.3) {
      this.giveUp(this.broken);
      return;
    }
    const moved = video.currentTime !== this.last || video.paused;
    this.last = video.currentTime;
    if (moved) {
      this.still = 0;
      this.hanging = 0;
      if (state.live && hls && state.phase === 'playing') this.catchUp();
      if (state.phase === 'waiting' && !video.paused && video.currentTime > 0) this.set({ phase: 'playing', message: '' });
      return;
    }
    this.still += 500;
    // hls.js 1.7 does not always find its way over a discontinuity.
    const there = state.live && !this.gap && hls?.liveSyncPosition > video.currentTime + 0.5 && this.ahead < 0.5;
    this.hanging = there ? this.hanging + 500 : 0;
    if (this.hanging >= hangs) {
      this.giveUp({ text: 'Waiting for media…', again: true });
      return;
    }
    if (this.still < stallWorry || video.ended) return;
    if (!state.live && !this.more) { // no "ended" comes after a seek to the very end, or before gaps
      this.ended();
      return;
    }
    this.set({ phase: 'waiting', message: this.gap
      ? 'The publisher lost its connection. It goes on when it is back.' : 'Waiting for media…' });
  }
}
