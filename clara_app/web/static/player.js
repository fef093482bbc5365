// One player for all pieces, at the bottom of the page: seek, loop bars, and keys.
import { fetchJson } from "/static/connection.js";

const byId = id => document.getElementById(id);
const KEY_OWNERS = "input, select, textarea, button, summary, a, audio, [role=group] button";

const ROUNDING_QUARTERS = 0.01; // times have milliseconds

export class Player {
  constructor({ onError }) {
    this.onError = onError;
    this.piece = null;
    this.loop = null; // [first, last] quarter, or null
    this.views = new Map(); // {piece id: functions that move a playhead}
    this.sound = byId("sound");
    this.sound.addEventListener("play", () => this.showState());
    this.sound.addEventListener("pause", () => this.showState());
    this.sound.addEventListener("ended", () => this.moveViews(null));
    this.sound.addEventListener("seeked", () => this.showPosition());
    this.sound.addEventListener("error", () => this.piece && onError(new Error("the sound of that piece cannot be played")));
    new ResizeObserver(showHeight).observe(byId("player"));
    byId("player-toggle").addEventListener("click", () => this.toggle());
    byId("position").addEventListener("input", () => this.seek(+byId("position").value));
    for (const id of ["loop-first", "loop-last", "loop-on"]) byId(id).addEventListener("change", () => this.readLoop());
    byId("speed").addEventListener("change", () => this.showSpeed());
    for (const id of ["hearing", "semitones", "only"]) byId(id).addEventListener("change", () => this.changeHearing().catch(onError));
    document.addEventListener("keydown", event => this.handleKey(event));
  }

  // The function moves a playhead to a quarter, or hides it for null.
  addView(piece, element, move) {
    const views = (this.views.get(piece.id) ?? []).filter(view => view.element.isConnected);
    this.views.set(piece.id, [...views, { element, move }]);
  }

  // Play a piece, or pause it if it plays.
  toggle(piece = this.piece, name) {
    if (!piece) return;
    if (piece.id === this.piece?.id && !this.sound.paused) {
      this.sound.pause();
      return;
    }
    this.open(piece, name);
    this.sound.play().catch(error => error.name !== "AbortError" && this.onError(error));
  }

  // Make a piece the one that is played.
  open(piece, name) {
    if (piece.id === this.piece?.id) return;
    this.sound.pause();
    this.moveViews(null);
    this.piece = piece;
    piece.times = null; // performed and flat differ
    this.showParts();
    this.sound.src = this.address("wav");
    this.showSpeed();
    byId("player").hidden = false;
    byId("player-name").textContent = name;
    byId("position").max = piece.quarters;
    byId("loop-on").checked = false;
    for (const id of ["loop-first", "loop-last"]) byId(id).max = piece.bars.length;
    byId("loop-first").value = 1;
    byId("loop-last").value = piece.bars.length;
    this.loop = null;
    byId("loop-changes").hidden = true;
    this.showPosition();
    this.loadTimes(piece).catch(this.onError);
  }

  // What to hear: all of a piece, or a hand or a part of it.
  showParts() {
    const isDuo = new Set(this.piece.notes.map(note => note[3])).size > 1;
    const parts = isDuo ? { p: "piano", v: "violin" } : { right: "right hand", left: "left hand" };
    const options = Object.entries({ "": "everything", ...parts }).map(([value, text]) => new Option(text, value));
    byId("only").replaceChildren(...options);
  }

  // Where the piece is, as it is to be heard.
  address(kind) {
    const isFlat = byId("hearing").value === "flat";
    const semitones = Math.max(-12, Math.min(12, Math.round(+byId("semitones").value)));
    const query = new URLSearchParams({ ...(isFlat && { flat: 1 }), ...(semitones && { semitones }) });
    if (byId("only").value) query.set("only", byId("only").value);
    return `/pieces/${this.piece.id}.${kind}${query.size ? `?${query}` : ""}`;
  }

  // Go on from the same place with another sound.
  async changeHearing() {
    if (!this.piece) return;
    const { quarter } = this;
    const isPlaying = !this.sound.paused;
    this.piece.times = null;
    this.sound.src = this.address("wav");
    this.showSpeed();
    await this.seek(quarter);
    if (isPlaying) await this.sound.play();
  }

  async loadTimes(piece) {
    piece.times ??= await fetchJson(this.address("json"));
  }

  // Where the piece is, in quarters.
  get quarter() {
    return this.piece ? findPlace(this.times, this.sound.currentTime, 1, 0) : 0;
  }

  // Pairs of quarters and seconds, between which the tempo is constant.
  get times() {
    const { times, quarters, qpm } = this.piece;
    return times ?? [[0, 0], [quarters, quarters * 60 / qpm]];
  }

  async seek(quarter) {
    if (!this.piece) return;
    await this.loadTimes(this.piece).catch(this.onError);
    this.sound.currentTime = findPlace(this.times, Math.max(0, Math.min(quarter, this.piece.quarters)), 0, 1);
    this.showPosition();
  }

  // Bars count from 0 here, and from 1 on the page.
  findBar(quarter) {
    return Math.max(0, this.piece.bars.findLastIndex(bar => bar <= quarter + ROUNDING_QUARTERS));
  }

  setLoop(firstBar, lastBar) {
    byId("loop-first").value = firstBar + 1;
    byId("loop-last").value = lastBar + 1;
    byId("loop-on").checked = true;
    this.readLoop();
  }

  readLoop() {
    const [first, last] = ["loop-first", "loop-last"].map(id => +byId(id).value - 1);
    const { bars, quarters } = this.piece;
    const isLoop = byId("loop-on").checked && bars[first] !== undefined && first <= last;
    this.loop = isLoop ? [bars[first], bars[last + 1] ?? quarters] : null;
    byId("loop-changes").hidden = !this.loop;
    const isOutside = this.loop && (this.quarter < this.loop[0] || this.quarter >= this.loop[1]);
    if (isOutside) this.seek(this.loop[0]);
  }

  // The pitch stays.
  showSpeed() {
    this.sound.defaultPlaybackRate = this.sound.playbackRate = +byId("speed").value;
  }

  showState() {
    const isPlaying = !this.sound.paused;
    byId("player-toggle").textContent = isPlaying ? "Pause" : "Play";
    for (const button of document.querySelectorAll("[data-plays]")) {
      const isThis = isPlaying && button.dataset.plays === this.piece?.id;
      button.textContent = isThis ? "Pause" : "Play";
    }
    const step = () => {
      this.showPosition();
      if (this.loop && this.quarter >= this.loop[1]) this.seek(this.loop[0]);
      if (!this.sound.paused) requestAnimationFrame(step);
    };
    step();
  }

  showPosition() {
    if (!this.piece) return;
    const { quarter } = this;
    const place = `bar ${this.findBar(quarter) + 1} of ${this.piece.bars.length}`;
    byId("position").value = quarter;
    byId("position").setAttribute("aria-valuetext", place);
    byId("player-place").textContent = place;
    this.moveViews(quarter);
  }

  moveViews(quarter) {
    for (const { move } of this.views.get(this.piece?.id) ?? []) move(quarter);
  }

  // Space plays and pauses, the arrows go a bar back and on, unless a control has the focus that uses them itself.
  handleKey(event) {
    const isUsed = event.ctrlKey || event.metaKey || event.altKey || event.target.closest(KEY_OWNERS);
    if (!this.piece || isUsed) return;
    if (event.key === " ") this.toggle();
    else if (event.key === "ArrowLeft") this.seekBar(-1);
    else if (event.key === "ArrowRight") this.seekBar(1);
    else return;
    event.preventDefault();
  }

  // At the beginning of a bar, or just after it, "back" means the bar before.
  seekBar(step) {
    const { bars } = this.piece;
    const bar = this.findBar(this.quarter);
    const isLate = step < 0 && this.quarter - bars[bar] > 1;
    this.seek(bars[Math.max(0, Math.min(bars.length - 1, isLate ? bar : bar + step))]);
  }
}

// What sticks to the bottom of the window stands above the player.
function showHeight() {
  document.documentElement.style.setProperty("--player", `${byId("player").offsetHeight}px`);
}

// Convert a place between quarters and seconds: from column `from` of the pairs to column `to`.
function findPlace(times, value, from, to) {
  const found = times.findIndex((pair, i) => i && pair[from] >= value);
  if (found < 0) return times.at(-1)[to];
  const [low, high] = [times[found - 1], times[found]];
  return low[to] + (high[to] - low[to]) * (value - low[from]) / Math.max(high[from] - low[from], 1e-6);
}
