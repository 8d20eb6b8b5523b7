// What the player tells the server of how well it plays, as CMCD (CTA-5004) in the query of its requests. What hls.js
// tells by itself leaves the server to guess how long the start and the stalls were: so the page measures them, and
// tells them under keys of Oxbow's own.

/** Keys of hls.js and of ours: enough for the figures, and short. */
const keys = [
  'bl', 'br', 'bs', 'd', 'mtp', 'ot', 'pr', 'sf', 'sid', 'st', 'su', 'oxbow-msd', 'oxbow-bsa', 'oxbow-bsda', 'oxbow-bsn',
  'oxbow-bsdn', 'oxbow-err',
];

// A secure context is not given: many servers are at http://HOST.
function session() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');
}

/** One viewing of one stream, through all that the player does to go on. */
export class Quality {
  constructor(now = () => performance.now()) {
    this.now = now;
    this.id = session();
    this.begun = null; // when the start began; null: it does not count yet, or no more
    this.startup = null; // ms
    this.told = false; // the start: it is told once, for the next edge does not know that another one was told
    this.stalls = 0;
    this.stalled = 0; // ms, of the stalls that are over
    this.heard = { stalls: 0, stalled: 0 }; // of these, what was told with requests that were answered
    this.errors = 0;
    this.since = null; // when this stall began
    this.report = () => {};
  }

  /** What hls.js is to be configured with. */
  get config() {
    return {
      sessionId: this.id,
      includeKeys: keys,
      reporterCallback: ({ updateCustomData }) => {
        this.report = () => updateCustomData(this.data);
        this.report();
      },
    };
  }

  get data() {
    const { stalls, errors } = this;
    const stalled = Math.round(this.stalled);
    const data = {
      'oxbow-bsa': stalls, 'oxbow-bsda': stalled, 'oxbow-err': errors,
      // The next edge does not know that another one was told of the rest.
      'oxbow-bsn': stalls - this.heard.stalls, 'oxbow-bsdn': stalled - this.heard.stalled,
    };
    if (this.startup !== null) data['oxbow-msd'] = this.told ? undefined : Math.round(this.startup);
    return data;
  }

  /** A request goes out, which may tell of the start. */
  sent(url) {
    if (this.told || !url.includes('oxbow-msd')) return;
    this.told = true;
    this.report();
  }

  /** A request was answered, which told what the session had counted. */
  answered(url) {
    const told = /oxbow-bsa%3D(\d+)%2Coxbow-bsda%3D(\d+)/.exec(url);
    if (!told) return;
    const { heard } = this;
    const [stalls, stalled] = [Math.max(heard.stalls, told[1]), Math.max(heard.stalled, told[2])];
    if (stalls === heard.stalls && stalled === heard.stalled) return;
    this.heard = { stalls, stalled };
    this.report();
  }

  /** The player asks for the stream. */
  open() {
    if (this.startup === null) this.begun ??= this.now();
  }

  /** The browser waits for the viewer: how long that is says nothing. */
  hold() {
    if (this.startup === null) this.begun = null;
  }

  /** Media is missing. */
  starve() {
    if (this.startup === null || this.since !== null) return;
    this.since = this.now();
    this.stalls++;
    this.report();
  }

  /** Playing goes on, or begins. */
  play() {
    if (this.startup === null && this.begun !== null) {
      this.startup = this.now() - this.begun;
      this.report();
    }
    this.rest();
  }

  /** A stall is over: it plays again, or the viewer has paused or gone elsewhere in it. */
  rest() {
    if (this.since === null) return;
    this.stalled += this.now() - this.since;
    this.since = null;
    this.report();
  }

  fail() {
    this.errors++;
    this.report();
  }
}
