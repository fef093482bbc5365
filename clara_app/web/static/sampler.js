// A piano in the browser, from the sounds of single keys: edits are heard at once, and nothing is rendered first.
import { request } from "/static/connection.js";

const KEY_DISTANCE = 3; // semitones between recorded keys; the keys between them are pitched
const LOWEST = 21;
const HIGHEST = 108;
const RELEASE_SECONDS = 0.15;
const AHEAD_SECONDS = 0.05;
const GAIN = 0.5;

export class Sampler {
  constructor() {
    this.recordings = new Map(); // {pitch: promise of an AudioBuffer}
    this.sounding = new Set();
  }

  get context() {
    this.audio ??= new AudioContext();
    return this.audio;
  }

  record(pitch) {
    const nearest = LOWEST + KEY_DISTANCE * Math.round((Math.min(HIGHEST, Math.max(LOWEST, pitch)) - LOWEST) / KEY_DISTANCE);
    if (!this.recordings.has(nearest)) this.recordings.set(nearest, this.load(nearest).catch(error => {
      this.recordings.delete(nearest); // the server may be back the next time
      throw error;
    }));
    return this.recordings.get(nearest).then(buffer => ({ buffer, rate: 2 ** ((pitch - nearest) / 12) }));
  }

  async load(pitch) {
    const response = await request(`/keys/${pitch}.wav`);
    return this.context.decodeAudioData(await response.arrayBuffer());
  }

  // Load the keys of some pitches, so that the first one that is played sounds at once.
  prepare(pitches) {
    return Promise.all([...new Set(pitches)].map(pitch => this.record(pitch)));
  }

  // Play a key after some seconds from now, for some seconds.
  async play(pitch, delay = 0, seconds = 0.4) {
    const begin = this.context.currentTime + delay;
    const { buffer, rate } = await this.record(pitch);
    this.context.resume();
    const [source, gain] = [this.context.createBufferSource(), this.context.createGain()];
    source.buffer = buffer;
    source.playbackRate.value = rate;
    const start = Math.max(begin, this.context.currentTime);
    gain.gain.setValueAtTime(GAIN, start + seconds);
    gain.gain.exponentialRampToValueAtTime(0.001, start + seconds + RELEASE_SECONDS);
    gain.gain.value = GAIN;
    source.connect(gain).connect(this.context.destination);
    source.start(start);
    source.stop(start + seconds + RELEASE_SECONDS);
    this.sounding.add(source);
    source.onended = () => this.sounding.delete(source);
  }

  // Play notes, rows of [start, duration, pitch, part] in quarters, from a quarter on; returns the seconds that it takes.
  async playNotes(notes, qpm, from = 0) {
    const heard = notes.filter(([start]) => start >= from - 1e-6);
    await this.prepare(heard.map(note => note[2]));
    this.stop();
    const seconds = quarters => quarters * 60 / qpm;
    for (const [start, duration, pitch] of heard) this.play(pitch, AHEAD_SECONDS + seconds(start - from), seconds(duration));
    return seconds(Math.max(0, ...heard.map(([start, duration]) => start + duration - from)));
  }

  stop() {
    for (const source of this.sounding) source.stop();
    this.sounding.clear();
  }
}
