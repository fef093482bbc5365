// A piano keyboard to play a beginning on: mouse, touch, or the letters of the computer's keyboard.
const LETTERS = "awsedftgyhujkolp", WHITE = new Set([0, 2, 4, 5, 7, 9, 11]), KEYS = 17;

export class Keyboard {
  constructor(root, onChange) {
    this.root = root; this.onChange = onChange; this.lowest = 60; this.strokes = []; this.down = new Map(); this.began = null;
    this.draw();
    addEventListener("keydown", e => this.letter(e, true));
    addEventListener("keyup", e => this.letter(e, false));
    addEventListener("blur", () => [...this.down.keys()].forEach(p => this.release(p)));
  }
  draw() {
    const whites = [...Array(KEYS).keys()].filter(i => WHITE.has(i % 12));
    let before = 0;
    this.root.replaceChildren(...[...Array(KEYS).keys()].map(i => {
      const key = document.createElement("button"), pitch = this.lowest + i, white = WHITE.has(i % 12);
      key.type = "button"; key.className = white ? "white" : "black"; key.dataset.pitch = pitch;
      key.textContent = LETTERS[i] ? LETTERS[i].toUpperCase() : "";
      key.setAttribute("aria-label", ["C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B"][i % 12] + (Math.floor(pitch / 12) - 1));
      if (white) before++;
      else { key.style.left = `${(before - 0.3) / whites.length * 100}%`; key.style.width = `${0.6 / whites.length * 100}%`; }
      key.addEventListener("pointerdown", e => { key.setPointerCapture(e.pointerId); this.press(pitch); });
      for (const end of ["pointerup", "pointercancel"]) key.addEventListener(end, () => this.release(pitch));
      key.addEventListener("keydown", e => { if ((e.key === " " || e.key === "Enter") && !e.repeat) { e.preventDefault(); this.press(pitch); } });
      key.addEventListener("keyup", e => { if (e.key === " " || e.key === "Enter") { e.preventDefault(); this.release(pitch); } });
      return key;
    }));
  }
  move(semitones) {
    this.lowest = Math.min(84, Math.max(24, this.lowest + semitones));
    this.draw();
  }
  letter(event, pressed) {
    if (this.root.closest("[hidden]") || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (/^(input|select|textarea)$/i.test(event.target.tagName) && event.target.type !== "radio") return;
    const i = LETTERS.indexOf(event.key.toLowerCase());
    if (i < 0 || event.key.length !== 1) return;
    pressed ? this.press(this.lowest + i) : this.release(this.lowest + i);
  }
  press(pitch) {
    if (this.down.has(pitch)) return;
    this.sound ??= new AudioContext();
    this.sound.resume();
    const now = performance.now() / 1000;
    this.began ??= now;
    this.down.set(pitch, { at: now - this.began, voice: voice(this.sound, pitch) });
    this.root.querySelector(`[data-pitch="${pitch}"]`)?.classList.add("down");
  }
  release(pitch) {
    const held = this.down.get(pitch);
    if (!held) return;
    this.down.delete(pitch);
    held.voice.stop();
    this.root.querySelector(`[data-pitch="${pitch}"]`)?.classList.remove("down");
    this.strokes.push([pitch, held.at, performance.now() / 1000 - this.began]);
    this.onChange(this.strokes);
  }
  clear() {
    [...this.down.keys()].forEach(p => this.release(p));
    this.strokes = []; this.began = null;
    this.onChange(this.strokes);
  }
  click(qpm) { // a metronome, until it is called again without a tempo
    clearInterval(this.ticking);
    if (!qpm) return;
    this.sound ??= new AudioContext();
    this.ticking = setInterval(() => voice(this.sound, 96, 0.05).stop(0.03), 60000 / qpm);
  }
}

function voice(sound, pitch, level = 0.2) {
  const tone = sound.createOscillator(), gain = sound.createGain(), now = sound.currentTime;
  tone.type = "triangle";
  tone.frequency.value = 440 * 2 ** ((pitch - 69) / 12);
  gain.gain.setValueAtTime(0, now);
  gain.gain.linearRampToValueAtTime(level, now + 0.005);
  gain.gain.exponentialRampToValueAtTime(level / 20, now + 2.5);
  tone.connect(gain).connect(sound.destination);
  tone.start();
  return { stop(after = 0.05) { gain.gain.cancelScheduledValues(sound.currentTime); gain.gain.setTargetAtTime(0, sound.currentTime, after); tone.stop(sound.currentTime + 0.4); } };
}
