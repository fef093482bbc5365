// Edit the notes of a piece in its roll: draw, drag, lengthen, transpose, delete; undo and redo without end.
import { postJson } from "/static/connection.js";
import { drawRoll } from "/static/roll.js";
import { Sampler } from "/static/sampler.js";

const ROW_HEIGHT = 9;
const QUARTER_WIDTH = 24;
const EDGE_PIXELS = 6; // at the end of a note, where it is lengthened
const MARGIN = 7; // empty rows above and below the notes
const MORE_QUARTERS = 4; // empty at the end
const LOWEST = 21;
const HIGHEST = 108;
const DRAFT = "clara-draft"; // where the browser keeps what was not saved
const NAMES = ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"];

const sampler = new Sampler();

// Open the editor in an article; `onSaved` is called with the new version.
export function openEditor(article, piece, { onSaved, onError, onClosed }) {
  return new Editor(article, piece, { onSaved, onError, onClosed });
}

class Editor {
  constructor(article, piece, callbacks) {
    this.piece = piece;
    this.callbacks = callbacks;
    this.notes = piece.notes.map(note => [...note]);
    this.selected = new Set(); // notes
    this.history = [this.copyNotes()];
    this.place = 0; // in the history
    this.restoreDraft();
    this.panel = document.getElementById("editor").content.cloneNode(true).firstElementChild;
    this.figure = this.find(".roll");
    article.querySelector(".roll").after(this.panel);
    const buttons = {
      undo: () => this.travel(-1),
      redo: () => this.travel(1),
      all: () => this.selectAll(),
      longer: () => this.lengthenSelected(this.step),
      shorter: () => this.lengthenSelected(-this.step),
      delete: () => this.deleteSelected(),
      up: () => this.moveSelected(0, 1),
      down: () => this.moveSelected(0, -1),
      listen: () => this.listen(),
      save: () => this.save(),
      cancel: () => {
        localStorage.removeItem(DRAFT);
        this.close();
      },
    };
    for (const [name, action] of Object.entries(buttons)) {
      this.find(`[data-do=${name}]`).addEventListener("click", () => Promise.resolve(action()).catch(callbacks.onError));
    }
    this.panel.addEventListener("keydown", event => this.handleKey(event));
    this.figure.addEventListener("pointerdown", event => this.press(event));
    this.figure.addEventListener("pointermove", event => this.drag(event));
    this.figure.addEventListener("pointerup", () => this.release());
    this.figure.addEventListener("pointercancel", () => this.cancelDrag());
    this.showAll();
    sampler.prepare(this.notes.map(note => note[2])).catch(() => {}); // without sound the editor still edits
    this.figure.focus();
  }

  // What was not saved is there again when the same piece is edited next.
  restoreDraft() {
    const draft = JSON.parse(localStorage.getItem(DRAFT) ?? "{}");
    if (draft.id !== this.piece.id) return;
    this.notes = draft.notes;
    this.history.push(this.copyNotes());
    this.place = 1;
  }

  keepDraft() {
    if (this.place) localStorage.setItem(DRAFT, JSON.stringify({ id: this.piece.id, notes: this.notes }));
    else localStorage.removeItem(DRAFT);
  }

  find(selector) {
    return this.panel.querySelector(selector);
  }

  get step() {
    const [over, under] = this.find(".step").value.split("/").map(Number);
    return over / under;
  }

  get isDrawing() {
    return this.find(".tool").value === "draw";
  }

  copyNotes() {
    return this.notes.map(note => [...note]);
  }

  // Choose the part of time and pitch that is shown, which stays while notes are dragged.
  showAll() {
    const pitches = this.notes.map(note => note[2]);
    this.range = [Math.max(LOWEST, Math.min(...pitches, 57) - MARGIN), Math.min(HIGHEST, Math.max(...pitches, 75) + MARGIN)];
    this.end = Math.max(...this.notes.map(([start, duration]) => start + duration), this.piece.quarters) + MORE_QUARTERS;
    this.draw();
  }

  draw() {
    const shown = { ...this.piece, notes: this.notes, quarters: this.end, form: null, window_log_odds: [], prompt_quarters: 0 };
    this.roll = drawRoll(this.figure, shown, { rowHeight: ROW_HEIGHT, quarterWidth: QUARTER_WIDTH, range: this.range });
    this.roll.rects.forEach((rect, i) => rect.classList.toggle("selected", this.selected.has(this.notes[i])));
    this.figure.classList.toggle("drawing", this.isDrawing);
    this.find("[data-do=undo]").disabled = this.place === 0;
    this.find("[data-do=redo]").disabled = this.place === this.history.length - 1;
    this.find("[data-do=save]").disabled = this.place === 0 || !this.notes.length;
    for (const name of ["delete", "longer", "shorter"]) this.find(`[data-do=${name}]`).disabled = !this.selected.size;
    this.find(".about").textContent = this.describe();
  }

  describe() {
    const count = `${this.notes.length} notes`;
    if (this.selected.size !== 1) return this.selected.size ? `${this.selected.size} of ${count} selected` : count;
    const [[start, duration, pitch]] = this.selected;
    const bar = Math.max(0, this.piece.bars.findLastIndex(line => line <= start + 1e-6));
    const beat = start - (this.piece.bars[bar] ?? 0) + 1;
    return `${NAMES[pitch % 12]}${Math.floor(pitch / 12) - 1}, bar ${bar + 1}, quarter ${+beat.toFixed(2)}, ${+duration.toFixed(2)} long`;
  }

  // Keep a change; what was undone is gone.
  commit() {
    this.notes.sort((a, b) => a[0] - b[0] || a[2] - b[2]);
    this.history.length = this.place + 1;
    this.history.push(this.copyNotes());
    this.place++;
    this.keepDraft();
    this.showAll();
  }

  travel(steps) {
    this.place = Math.max(0, Math.min(this.history.length - 1, this.place + steps));
    this.notes = this.history[this.place].map(note => [...note]);
    this.selected.clear();
    this.keepDraft();
    this.showAll();
  }

  press(event) {
    if (event.button) return;
    this.figure.focus();
    const [quarter, pitch] = [this.roll.findQuarter(event.clientX), this.roll.findPitch(event.clientY)];
    const index = this.roll.rects.indexOf(event.target);
    if (index < 0 && !this.isDrawing && event.pointerType === "touch") { // the finger scrolls
      this.selected.clear();
      this.draw();
      return;
    }
    event.preventDefault();
    this.figure.setPointerCapture(event.pointerId);
    if (index < 0 && !this.isDrawing) {
      this.box = { quarter, pitch, before: event.shiftKey ? [...this.selected] : [] };
      this.dragBox(quarter, pitch);
      return;
    }
    if (index < 0) {
      const start = Math.floor(quarter / this.step + 1e-6) * this.step;
      this.startDrag([start, this.step, Math.max(LOWEST, Math.min(HIGHEST, pitch)), 0], "lengthen", quarter, pitch, true);
      return;
    }
    const note = this.notes[index];
    const { right, width } = event.target.getBoundingClientRect();
    const isEdge = right - event.clientX < Math.min(EDGE_PIXELS, width / 3);
    if (event.shiftKey) {
      if (this.selected.has(note)) this.selected.delete(note);
      else this.selected.add(note);
      this.draw();
    } else this.startDrag(note, isEdge ? "lengthen" : "move", quarter, pitch, false);
  }

  startDrag(note, kind, quarter, pitch, isNew) {
    if (isNew) this.notes.push(note);
    if (!this.selected.has(note)) this.selected = new Set([note]);
    const before = new Map([...this.selected].map(selected => [selected, [...selected]]));
    this.dragged = { kind, quarter, pitch, isNew, before, hasMoved: isNew };
    sampler.play(note[2]).catch(() => {});
    this.draw();
  }

  // Select the notes of a rectangle.
  dragBox(quarter, pitch) {
    const [from, to] = [this.box.quarter, quarter].sort((a, b) => a - b);
    const [low, high] = [this.box.pitch, pitch].sort((a, b) => a - b);
    const isInside = ([start, duration, key]) => start < to && start + duration > from && key >= low && key <= high;
    this.selected = new Set([...this.box.before, ...this.notes.filter(isInside)]);
    this.draw();
    this.roll.drawBox(from, to, low, high);
  }

  drag(event) {
    if (this.box) this.dragBox(this.roll.findQuarter(event.clientX), this.roll.findPitch(event.clientY));
    if (!this.dragged) return;
    const { kind, quarter, pitch, before } = this.dragged;
    const moved = Math.round((this.roll.findQuarter(event.clientX) - quarter) / this.step) * this.step;
    const raised = kind === "move" ? this.roll.findPitch(event.clientY) - pitch : 0;
    if (this.change(before, kind, moved, raised)) this.dragged.hasMoved = true;
  }

  // Move or lengthen notes from what they were; a higher or lower note is heard. Returns whether anything changed.
  change(before, kind, quarters, semitones) {
    const pitches = [...before.values()].map(note => note[2]);
    const earliest = Math.min(...[...before.values()].map(note => note[0]));
    const shift = Math.max(quarters, -earliest);
    const raise = Math.max(LOWEST - Math.min(...pitches), Math.min(HIGHEST - Math.max(...pitches), semitones));
    const old = [...before.keys()].map(note => note.join());
    for (const [note, [start, duration, pitch]] of before) {
      if (kind === "move") [note[0], note[2]] = [start + shift, pitch + raise];
      else note[1] = Math.max(this.step, duration + quarters);
    }
    const hasChanged = [...before.keys()].some((note, i) => note.join() !== old[i]);
    const [first] = before.keys();
    if (hasChanged && first[2] !== +old[0].split(",")[2]) sampler.play(first[2]).catch(() => {});
    if (hasChanged) this.draw();
    return hasChanged;
  }

  release() {
    if (this.box) {
      this.box = null;
      this.draw();
    }
    if (!this.dragged) return;
    const { hasMoved } = this.dragged;
    this.dragged = null;
    if (hasMoved) this.commit();
  }

  cancelDrag() {
    this.box = null;
    if (!this.dragged) return;
    this.dragged = null;
    this.travel(0);
  }

  moveSelected(quarters, semitones) {
    const notes = this.selected.size ? this.selected : new Set(this.notes);
    const before = new Map([...notes].map(note => [note, [...note]]));
    if (this.change(before, "move", quarters, semitones)) this.commit();
  }

  lengthenSelected(quarters) {
    const before = new Map([...this.selected].map(note => [note, [...note]]));
    if (before.size && this.change(before, "lengthen", quarters, 0)) this.commit();
  }

  deleteSelected() {
    if (!this.selected.size) return;
    this.notes = this.notes.filter(note => !this.selected.has(note));
    this.selected.clear();
    this.commit();
  }

  // A new note after the selected one, or at the beginning.
  addNote() {
    const [last] = this.selected;
    const [start, duration, pitch, part] = last ?? [0, 0, 60, 0];
    const note = [start + duration, this.step, pitch, part];
    this.notes.push(note);
    this.selected = new Set([note]);
    sampler.play(pitch).catch(() => {});
    this.commit();
  }

  selectNext(direction) {
    const current = this.notes.findIndex(note => this.selected.has(note));
    const next = this.notes[Math.max(0, Math.min(this.notes.length - 1, current + direction))];
    if (!next) return;
    this.selected = new Set([next]);
    sampler.play(next[2]).catch(() => {});
    this.draw();
  }

  handleKey(event) {
    const isCommand = event.ctrlKey || event.metaKey;
    const onRoll = event.target === this.figure;
    const actions = {
      ArrowUp: () => this.moveSelected(0, event.shiftKey ? 12 : 1),
      ArrowDown: () => this.moveSelected(0, event.shiftKey ? -12 : -1),
      ArrowLeft: () => (event.shiftKey ? this.lengthenSelected(-this.step) : this.moveSelected(-this.step, 0)),
      ArrowRight: () => (event.shiftKey ? this.lengthenSelected(this.step) : this.moveSelected(this.step, 0)),
      Delete: () => this.deleteSelected(),
      Backspace: () => this.deleteSelected(),
      ",": () => this.selectNext(-1),
      ".": () => this.selectNext(1),
      n: () => this.addNote(),
      a: () => this.selectAll(),
      " ": () => this.listen().catch(this.callbacks.onError),
    };
    let action = null;
    if (isCommand && event.key.toLowerCase() === "z") action = () => this.travel(event.shiftKey ? 1 : -1);
    else if (isCommand && event.key.toLowerCase() === "y") action = () => this.travel(1);
    else if (!isCommand && !event.altKey && onRoll) action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }

  selectAll() {
    this.selected = new Set(this.notes);
    this.draw();
  }

  // Play from the first selected note on, or stop.
  async listen() {
    const button = this.find("[data-do=listen]");
    if (this.timer) {
      this.stopListening();
      return;
    }
    button.textContent = "Stop";
    this.timer = -1;
    const from = Math.min(...[...this.selected].map(note => note[0]), Infinity);
    const playing = sampler.playNotes(this.notes, this.piece.qpm, Number.isFinite(from) ? from : 0);
    const seconds = await playing.catch(error => {
      this.stopListening();
      throw error;
    });
    if (this.timer) this.timer = setTimeout(() => this.stopListening(), 1000 * seconds);
  }

  stopListening() {
    clearTimeout(this.timer);
    this.timer = null;
    sampler.stop();
    this.find("[data-do=listen]").textContent = "Listen";
  }

  async save() {
    const version = await postJson(`/pieces/${this.piece.id}/versions`, { notes: this.notes });
    localStorage.removeItem(DRAFT);
    this.close();
    this.callbacks.onSaved(version);
  }

  close() {
    this.stopListening();
    this.panel.remove();
    this.callbacks.onClosed();
  }
}
