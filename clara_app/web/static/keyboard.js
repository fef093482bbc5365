// A piano keyboard to play a prompt on, with mouse, touch, the letters of the computer's keyboard, or a MIDI keyboard.
const LETTERS = "awsedftgyhujkolp"; // one letter for each semitone
const N_KEYS = 17;
const WHITE_PITCH_CLASSES = new Set([0, 2, 4, 5, 7, 9, 11]);
const PITCH_NAMES = ["C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B"];
const BLACK_KEY_WIDTH = 0.6; // of a white key
const MIN_LOWEST_PITCH = 24;
const MAX_LOWEST_PITCH = 84;
const METRONOME_PITCH = 96;
const METRONOME_LEVEL = 0.05;
const USUAL_VELOCITY = 64; // of keys that do not say how hard they were pressed
const NOTE_OFF = 0x80, NOTE_ON = 0x90; // kinds of MIDI messages

export class Keyboard {
  // onChange is called with the key presses, a list of [pitch, start, end, velocity], times in seconds.
  constructor(root, onChange) {
    this.root = root;
    this.onChange = onChange;
    this.lowestPitch = 60;
    this.keyPresses = [];
    this.pressed = new Map(); // {pitch: {start, tone}}
    this.startTime = null;
    this.draw();
    addEventListener("keydown", event => this.handleLetter(event, true));
    addEventListener("keyup", event => this.handleLetter(event, false));
    addEventListener("blur", () => this.releaseAll());
  }

  draw() {
    const indices = [...Array(N_KEYS).keys()];
    const nWhite = indices.filter(i => WHITE_PITCH_CLASSES.has(i % 12)).length;
    let nWhiteBefore = 0;
    const keys = indices.map(i => {
      const key = this.makeKey(i);
      if (key.className === "white") {
        nWhiteBefore++;
      } else {
        key.style.left = `${(nWhiteBefore - BLACK_KEY_WIDTH / 2) / nWhite * 100}%`;
        key.style.width = `${BLACK_KEY_WIDTH / nWhite * 100}%`;
      }
      return key;
    });
    this.root.replaceChildren(...keys);
  }

  makeKey(i) {
    const pitch = this.lowestPitch + i;
    const key = document.createElement("button");
    key.type = "button";
    key.className = WHITE_PITCH_CLASSES.has(i % 12) ? "white" : "black";
    key.dataset.pitch = pitch;
    key.textContent = LETTERS[i] ? LETTERS[i].toUpperCase() : "";
    key.setAttribute("aria-label", PITCH_NAMES[i % 12] + (Math.floor(pitch / 12) - 1));
    key.addEventListener("pointerdown", event => {
      key.setPointerCapture(event.pointerId);
      this.press(pitch);
    });
    for (const kind of ["pointerup", "pointercancel"]) key.addEventListener(kind, () => this.release(pitch));
    key.addEventListener("keydown", event => {
      if (!isActivation(event) || event.repeat) return;
      event.preventDefault();
      this.press(pitch);
    });
    key.addEventListener("keyup", event => {
      if (!isActivation(event)) return;
      event.preventDefault();
      this.release(pitch);
    });
    return key;
  }

  shift(semitones) {
    this.lowestPitch = Math.min(MAX_LOWEST_PITCH, Math.max(MIN_LOWEST_PITCH, this.lowestPitch + semitones));
    this.draw();
  }

  handleLetter(event, isDown) {
    if (this.root.closest("[hidden]") || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (/^(input|select|textarea)$/i.test(event.target.tagName) && event.target.type !== "radio") return;
    const i = LETTERS.indexOf(event.key.toLowerCase());
    if (i < 0 || event.key.length !== 1) return;
    if (isDown) this.press(this.lowestPitch + i);
    else this.release(this.lowestPitch + i);
  }

  press(pitch, velocity = USUAL_VELOCITY) {
    if (this.pressed.has(pitch)) return;
    this.audio ??= new AudioContext();
    this.audio.resume();
    const now = performance.now() / 1000;
    this.startTime ??= now;
    this.pressed.set(pitch, { start: now - this.startTime, velocity, tone: playTone(this.audio, pitch) });
    this.root.querySelector(`[data-pitch="${pitch}"]`)?.classList.add("down");
  }

  release(pitch) {
    const press = this.pressed.get(pitch);
    if (!press) return;
    this.pressed.delete(pitch);
    press.tone.stop();
    this.root.querySelector(`[data-pitch="${pitch}"]`)?.classList.remove("down");
    this.keyPresses.push([pitch, press.start, performance.now() / 1000 - this.startTime, press.velocity]);
    this.onChange(this.keyPresses);
  }

  // Listen to the MIDI keyboards that are connected now and later; return the names of those that are.
  async connectMidi() {
    if (!navigator.requestMIDIAccess) throw new Error("this browser does not read MIDI keyboards; Chrome, Edge and Firefox do");
    const access = await navigator.requestMIDIAccess();
    const listen = () => {
      for (const input of access.inputs.values()) input.onmidimessage = event => this.handleMidi(event.data);
    };
    access.onstatechange = listen;
    listen();
    return [...access.inputs.values()].map(input => input.name);
  }

  handleMidi([status, pitch, velocity]) {
    if (this.root.closest("[hidden]")) return;
    const kind = status & 0xf0;
    if (kind === NOTE_ON && velocity > 0) this.press(pitch, velocity);
    else if (kind === NOTE_ON || kind === NOTE_OFF) this.release(pitch);
  }

  releaseAll() {
    for (const pitch of [...this.pressed.keys()]) this.release(pitch);
  }

  clear() {
    this.releaseAll();
    this.keyPresses = [];
    this.startTime = null;
    this.onChange(this.keyPresses);
  }

  // Tick at a tempo in quarter notes per minute; 0 stops.
  setMetronome(qpm) {
    clearInterval(this.metronome);
    if (!qpm) return;
    this.audio ??= new AudioContext();
    const tick = () => playTone(this.audio, METRONOME_PITCH, METRONOME_LEVEL).stop(0.03);
    this.metronome = setInterval(tick, 60000 / qpm);
  }
}

function isActivation(event) {
  return event.key === " " || event.key === "Enter";
}

function playTone(audio, pitch, level = 0.2) {
  const oscillator = audio.createOscillator();
  const gain = audio.createGain();
  const now = audio.currentTime;
  oscillator.type = "triangle";
  oscillator.frequency.value = 440 * 2 ** ((pitch - 69) / 12);
  gain.gain.setValueAtTime(0, now);
  gain.gain.linearRampToValueAtTime(level, now + 0.005);
  gain.gain.exponentialRampToValueAtTime(level / 20, now + 2.5);
  oscillator.connect(gain).connect(audio.destination);
  oscillator.start();
  return {
    stop(decaySeconds = 0.05) {
      gain.gain.cancelScheduledValues(audio.currentTime);
      gain.gain.setTargetAtTime(0, audio.currentTime, decaySeconds);
      oscillator.stop(audio.currentTime + 0.4);
    },
  };
}
