// The form, the stream of events from the server, and an article for each candidate.
import { describePiece, drawPlayable, isComposed, makeArticle, toggleScore } from "/static/article.js";
import { fetchJson, postJson, readJsonLines, request, watchServer } from "/static/connection.js";
import { Keyboard } from "/static/keyboard.js";
import { Library } from "/static/library.js";
import { Player } from "/static/player.js";

const byId = id => document.getElementById(id);
const N_SHOWN = 8;
const N_ALTERNATIVES = 4; // of bars that are composed again
const MAX_PROMPT_QUARTERS = 512;
const UPLOAD_PROMPT_QUARTERS = 32;
const PLAYED_PAUSE_MS = 1200; // after the last key, before what was played is read
const COMPOSER_RETRY_MS = 1000;
const KEYS = ["C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"];
// Values at the left end, the middle and the right end of the slider; the server has the same.
const TEMPERATURE = [0.7, 0.875, 1.25];
const TOP_P = [0.9, 0.98, 1];
const MISSING_PROMPT = {
  example: "the example could not be read: choose another one",
  file: "there is no music yet: choose a file",
  play: "nothing was played yet: play a beginning",
  piece: "that piece is gone: continue another one",
};
const SOURCES = { example: "example", file: "file", played: "play", composed: "piece" }; // of the library, and here
// Seconds for a quarter note on two cores, until this machine has measured its own.
const USUAL_SECONDS = { quick: 0.04, better: 0.12, best: 0.12 };
const QUALITIES = { quick: { candidates: 8 }, better: { candidates: 32 }, best: { candidates: 128, search: true } };
const ADVANCED_SETTINGS = ["temperature", "top_k", "top_p", "min_p", "repetition_penalty", "repeat_strength"];

let prompt = null;
let running = null; // the request that is being composed for: {id, abort, isWaiting}
let pieces = []; // candidates, best first

function showStatus(text, isError = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("bad", isError);
}

const showError = error => showStatus(error.message, true);

function addOption(select, value, text) {
  const option = new Option(text, value);
  select.append(option);
  return option;
}

let timings = []; // settings and seconds of the last requests

async function fillForm() {
  const about = await fetchJson("/about");
  timings = about.timings;
  for (const model of about.models) {
    const option = addOption(byId("model"), model.name, model.title);
    option.selected = model.name === about.preferred;
    if (model.follows_plans) option.dataset.plans = "";
  }
  for (const example of about.examples) addOption(byId("example"), example.name, example.title);
  for (const key of KEYS) {
    for (const mode of ["major", "minor"]) addOption(byId("key"), `${key} ${mode}`, `${key} ${mode}`);
  }
  addComposers(about.composers);
  showSliderValues();
  showForm();
}

function addComposers(names) {
  if (byId("composer").options.length > 1) return;
  for (const name of names) addOption(byId("composer"), name, name[0].toUpperCase() + name.slice(1));
  if (byId("composer").dataset.wanted) byId("composer").value = byId("composer").dataset.wanted;
  // the server knows the composers once a model is loaded
  if (!names.length) setTimeout(async () => addComposers((await fetchJson("/about")).composers), COMPOSER_RETRY_MS);
}

function interpolate(position, [low, middle, high]) {
  if (position <= 50) return low + (middle - low) * position / 50;
  return middle + (high - middle) * (position - 50) / 50;
}

function showSliderValues() {
  const position = +byId("randomness").value;
  byId("temperature").placeholder = interpolate(position, TEMPERATURE).toFixed(2);
  byId("top_p").placeholder = interpolate(position, TOP_P).toFixed(2);
}

// --- the prompt

let nLoads = 0;
let loading = null; // promise of the beginning that is being read
let continuedPiece = null;
let playedTimer = null; // runs while something was played that the server has not read

function showSource(source) {
  for (const part of document.querySelectorAll("[data-source]")) part.hidden = part.dataset.source !== source;
}

function changeSource() {
  const source = document.querySelector("[name=source]:checked").value;
  showSource(source);
  if (source !== "play") {
    byId("metronome").checked = false;
    changeMetronome();
  }
  clearTimeout(playedTimer);
  playedTimer = null;
  setPrompt(null);
  nLoads++;
  if (source === "example") loadExample();
  if (source === "piece") setPrompt(continuedPiece);
  saveForm();
}

function loadPrompt(promise, defaultQuarters) {
  loading = readPrompt(promise, defaultQuarters);
  return loading;
}

async function readPrompt(promise, defaultQuarters) {
  const thisLoad = ++nLoads; // the latest request counts, whichever response comes last
  showStatus("reading …");
  try {
    const loaded = await promise;
    if (thisLoad !== nLoads) return;
    setPrompt(loaded, defaultQuarters);
    saveForm();
    const found = loaded.beats ? `Clara heard ${loaded.beats}` : "";
    const lost = loaded.losses ? `read; lost: ${loaded.losses}` : "";
    showStatus([found, lost].filter(Boolean).join("; "));
  } catch (error) {
    if (thisLoad !== nLoads) return;
    setPrompt(null);
    showError(error);
  }
}

function loadExample() {
  loadPrompt(fetchJson(`/prompts/example/${byId("example").value}`, ""));
}

function loadFile(file) {
  const headers = { "X-File-Name": encodeURIComponent(file.name) };
  const upload = file.arrayBuffer().then(data => fetchJson("/prompts/upload", data, headers));
  loadPrompt(upload, UPLOAD_PROMPT_QUARTERS);
}

function changePlayed(keyPresses) {
  clearTimeout(playedTimer);
  playedTimer = keyPresses.length ? setTimeout(loadPlayed, PLAYED_PAUSE_MS) : null;
}

function loadPlayed() {
  clearTimeout(playedTimer);
  playedTimer = null;
  const withMetronome = byId("metronome").checked;
  const body = JSON.stringify({
    key_presses: keyboard.keyPresses,
    qpm: withMetronome ? +byId("tempo").value : null, // without one the server finds the beats
    ...(withMetronome ? { time_signature: byId("played-signature").value } : {}),
  });
  return loadPrompt(fetchJson("/prompts/played", body));
}

function changeMetronome() {
  const ticks = byId("metronome").checked;
  byId("tempo").disabled = byId("played-signature").disabled = !ticks;
  keyboard.setMetronome(ticks ? +byId("tempo").value : 0);
  if (keyboard.keyPresses.length) changePlayed(keyboard.keyPresses);
}

async function connectMidi() {
  const names = await keyboard.connectMidi();
  showStatus(names.length ? `listening to ${names.join(", ")}` : "no MIDI keyboard is connected; plug one in");
}

function setPrompt(piece, defaultQuarters) {
  prompt = piece;
  byId("prompt").hidden = !piece;
  byId("prompt-score").replaceChildren();
  byId("prompt-score").hidden = true;
  byId("prompt-show-score").setAttribute("aria-expanded", false);
  showTimeSignature(piece);
  showForm();
  if (!piece) return;
  byId("prompt-play").dataset.plays = piece.id;
  const drawn = { ...piece, window_log_odds: [], prompt_quarters: piece.quarters };
  drawPlayable(byId("prompt-roll"), drawn, piece.title, player, 3);
  const quarters = Math.max(1, Math.ceil(piece.quarters));
  byId("prompt-quarters").max = Math.min(MAX_PROMPT_QUARTERS, quarters);
  byId("prompt-quarters").value = Math.min(defaultQuarters ?? quarters, quarters, MAX_PROMPT_QUARTERS);
  byId("prompt-length").textContent = `of ${quarters} quarter notes`;
}

// A prompt goes on in its own time signature.
function showTimeSignature(piece) {
  const select = byId("time-signature");
  select.disabled = Boolean(piece);
  select.options[0].text = piece ? `as the prompt (${piece.time_signatures})` : "any";
  if (piece) select.value = "";
}

function followsPlans() {
  return "plans" in (byId("model").selectedOptions[0]?.dataset ?? {});
}

// A form is for models that follow plans, and for new pieces. It sets the length.
function showForm() {
  const follows = followsPlans();
  const formOption = byId("use").querySelector("[value=form]");
  formOption.disabled = !follows;
  if (!follows && byId("use").value === "form") byId("use").value = "continue";
  byId("form").disabled = !follows || Boolean(prompt);
  byId("length").disabled = readFormLetters() !== null || readUse() !== "continue"; // a tune or a form sets it
  byId("ending-choice").hidden = !follows || readUse() === "tune";
  byId("cadence-choice").hidden = follows;
  byId("repeat-choice").hidden = follows;
  showSeconds();
  byId("form-note").textContent = !follows ? "This model follows no plans, so it takes no form."
    : prompt ? "A form is for pieces without a prompt."
      : "Form: AABA for four sections of eight bars, or A8 B16 A8 with numbers of bars. It sets the length.";
}

function countQuarters({ bars, quarters }) {
  return quarters ?? 4 * bars;
}

function showSeconds() {
  const [unit, length] = byId("length").value.split(" ");
  const settings = { model: byId("model").value, ...chosenQuality() };
  const same = timings.filter(past => Object.entries(settings).every(([name, value]) => past[name] === value || name === "search"));
  const measured = same.filter(countQuarters).map(past => past.seconds / countQuarters(past)).sort((a, b) => a - b);
  const rate = measured[Math.floor(measured.length / 2)] ?? USUAL_SECONDS[settings.quality];
  const seconds = Math.max(1, Math.round(rate * countQuarters({ [unit]: +length })));
  byId("seconds").textContent = `about ${seconds} s${measured.length ? "" : " on two cores; not measured here yet"}`;
}

function chosenQuality() {
  const quality = byId("quality").value;
  const candidates = +byId("candidates").value || QUALITIES[quality].candidates;
  return { quality, ...QUALITIES[quality], candidates };
}

// What happens with the beginning.
function readUse() {
  return prompt ? byId("use").value : "continue";
}

function readFormLetters() {
  return byId("form").disabled ? null : byId("form").value.trim() || null;
}

// --- composing

function readForm() {
  const number = id => byId(id).value === "" ? null : +byId(id).value;
  const advanced = {};
  for (const name of ADVANCED_SETTINGS) {
    if (number(name) !== null && !byId(name).closest("[hidden]")) advanced[name] = number(name);
  }
  const [lengthUnit, length] = byId("length").value.split(" ");
  const form = readFormLetters();
  return {
    model: byId("model").value,
    ...(form ? { form } : { [lengthUnit]: +length }),
    use: readUse(),
    ending: followsPlans() && readUse() !== "tune" ? byId("ending").checked : null,
    time_signature: prompt ? null : byId("time-signature").value,
    ...chosenQuality(),
    fields: readFields(),
    randomness: +byId("randomness").value,
    advanced,
    key: byId("key").value,
    composer: byId("composer").value,
    prompt: prompt?.id ?? null,
    prompt_quarters: prompt ? number("prompt-quarters") : null,
    seed: number("seed") ?? Math.floor(Math.random() * 1e6),
    qpm: number("qpm"),
    max_notes: number("max_notes"),
    range: byId("range").value.trim(),
    rank_by: byId("rank_by").value.trim(),
    flat: !byId("performed").checked,
    cadence: !followsPlans() && byId("cadence").checked,
  };
}

async function compose(event) {
  event.preventDefault();
  if (running) return;
  keyboard.releaseAll();
  if (playedTimer) loadPlayed();
  await loading;
  const source = document.querySelector("[name=source]:checked").value;
  if (source !== "none" && !prompt) {
    showStatus(`${MISSING_PROMPT[source]}, or start from scratch`, true);
    return;
  }
  saveForm();
  const settings = readForm();
  showLibrary(false);
  showStatus("sending …");
  await follow("/compose", JSON.stringify(settings)).catch(showError);
  await learnSeconds().catch(() => {});
}

// What the buttons beside the loop do with the looped bars of the piece in the player; the alternatives are pieces of their own.
const CHANGES = {
  again: { button: "bars-again", status: "composing these bars again …" },
  vary: { button: "bars-vary", status: "varying these bars …" },
  keep: { button: "bars-keep", status: "keeping these bars and composing the rest …" },
};

async function changeBars(change) {
  if (running) return;
  const { model, advanced, randomness, flat, fields, seed } = readForm();
  const { piece, loop } = player;
  const settings = { model, advanced, randomness, flat, fields, seed, prompt: piece.id, fill: loop, change, candidates: N_ALTERNATIVES };
  showLibrary(false);
  showStatus(CHANGES[change].status);
  await follow("/compose", JSON.stringify(settings)).catch(showError);
}

// Read the events of a request. What is on the page stays until the server has sent pieces.
async function follow(path, body) {
  const startTime = body === undefined ? null : performance.now();
  running = { abort: new AbortController() };
  byId("progress").value = 0;
  showRunning(true);
  try {
    const method = body === undefined ? "GET" : "POST";
    const response = await request(path, { method, body, signal: running.abort.signal });
    if (!response.ok) throw new Error((await response.json()).error);
    const found = [];
    for await (const message of readJsonLines(response.body)) handleMessage(message, found, startTime);
  } catch (error) {
    if (error.name !== "AbortError") throw error;
    showStatus("stopped");
  } finally {
    running = null;
    showRunning(false);
  }
}

async function learnSeconds() {
  ({ timings } = await fetchJson("/about"));
  showSeconds();
}

async function stop() {
  if (!running?.id) return;
  const { id, isWaiting, abort } = running;
  if (isWaiting) abort.abort(); // it stops when its turn comes
  await postJson(`/requests/${id}/stop`, {});
}

function showRunning(isRunning) {
  byId("compose").disabled = isRunning;
  byId("stop").hidden = !isRunning;
  byId("progress").hidden = !isRunning;
}

const KEPT_STATES = {
  stopped: n => `stopped early; ${n} pieces were finished and are kept`,
  interrupted: n => `Clara was closed while composing; ${n} pieces were finished and are kept`,
};

function handleMessage(message, found, startTime) {
  const seconds = startTime === null ? "" : ` in ${((performance.now() - startTime) / 1000).toFixed(1)} s`;
  if (message.error) throw new Error(message.error);
  if (message.request) {
    running.id = message.request;
    localStorage.setItem("clara-request", message.request);
  }
  if (message.position !== undefined) running.isWaiting = message.position > 0;
  if (message.position) showStatus(`${message.position} before you …`);
  if (message.state === "composing") {
    running.isWaiting = false;
    showStatus("composing …");
  }
  if (message.progress !== undefined) byId("progress").value = message.progress;
  if (message.candidates) {
    found.push(...message.candidates);
    found.sort((a, b) => (b.total ?? -Infinity) - (a.total ?? -Infinity) || a.seed - b.seed);
    pieces = found;
    showPieces();
    showStatus(`${pieces.length} pieces composed${seconds}, more follow; ${describeShown()}`);
  }
  if (message.done) showEnd(message, seconds);
}

function showEnd({ state, n_pieces: nKept, stopped }, seconds) {
  if (state in KEPT_STATES) showStatus(KEPT_STATES[state](nKept));
  else if (state) showStatus(`${nKept} pieces composed; ${describeShown()}`);
  else showStatus(`${pieces.length} pieces composed${seconds}${stopped ? ", stopped early" : ""}; ${describeShown()}`);
}

function describeShown() {
  return `these are the best ${Math.min(N_SHOWN, pieces.length)}`;
}

function showPieces() {
  const best = pieces.slice(0, N_SHOWN);
  const present = new Map([...byId("pieces").children].map(article => [article.dataset.id, article]));
  const articles = best.map(piece => present.get(piece.id) ?? makeArticle(piece, actions));
  articles.forEach((article, i) => {
    article.querySelector("h2").textContent = `${i + 1}. ${describePiece(best[i])}`;
  });
  byId("pieces").replaceChildren(...articles);
  for (const article of articles) article.draw?.();
}

function continuePiece(piece, quarter) {
  const isInside = quarter > piece.prompt_quarters + 1 && quarter < piece.quarters - 1;
  if (isComposed(piece)) setSourcePiece(piece);
  checkSource(isComposed(piece) ? "piece" : SOURCES[piece.source]);
  changeSource();
  if (!isComposed(piece)) setBeginning(piece);
  if (isInside) byId("prompt-quarters").value = Math.round(quarter);
  saveForm();
  showStatus("Press Compose to continue this piece.");
  showRequest();
}

function setSourcePiece(piece) {
  continuedPiece = { ...piece, losses: "" };
  byId("source-piece").hidden = false;
  byId("source-piece").querySelector("span").textContent = `Clara's piece in ${describePiece(piece)}`;
}

function checkSource(source) {
  document.querySelector(`[name=source][value=${source}]`).checked = true;
}

function showRequest() {
  byId("compose").focus();
  const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
  byId("request").scrollIntoView({ behavior });
}

// --- what survives a reload: the form, the beginning and the request

function readFields() {
  const fields = {};
  for (const field of byId("request").querySelectorAll("select[id], input[id]:not([type=file])")) {
    fields[field.id] = field.type === "checkbox" ? field.checked : field.value;
  }
  return fields;
}

function saveForm() {
  localStorage.setItem("clara-form", JSON.stringify({ fields: readFields(), beginning: prompt?.id ?? null }));
}

// Fill the form with what `readFields` returned, and with a beginning of the library.
async function restoreForm({ fields, beginning }) {
  const piece = beginning ? await fetchJson(`/cards/${beginning}`).catch(error => showError(error)) : null;
  setBeginning(piece);
  for (const [id, value] of Object.entries(fields)) {
    const field = byId(id);
    if (!field?.closest("#request")) continue;
    if (field.type === "checkbox") field.checked = value;
    else if (field.tagName !== "SELECT" || [...field.options].some(option => option.value === value)) field.value = value;
    else field.dataset.wanted = value; // the composers may come later
  }
  byId("metronome").checked = false;
  byId("tempo").disabled = byId("played-signature").disabled = true;
  showSliderValues();
  showForm();
}

function setBeginning(piece) {
  nLoads++; // what is being read comes too late
  const source = piece ? SOURCES[piece.source] : "none";
  if (source === "piece") setSourcePiece(piece);
  checkSource(source);
  showSource(source);
  setPrompt(piece);
}

async function useAgain(piece) {
  const { settings, beginning } = await fetchJson(`/requests/${piece.request}`);
  if (settings.fill) return useBarsAgain(settings, beginning);
  await restoreForm({ fields: { ...settings.fields, seed: settings.seed }, beginning });
  saveForm();
  showStatus("These are the settings of that piece. Press Compose to have it again, or change them first.");
  showRequest();
}

async function useBarsAgain({ fill: [begin, end], seed, change = "again" }, beginning) {
  const piece = await fetchJson(`/cards/${beginning}`);
  player.open(piece, describePiece(piece));
  player.setLoop(player.findBar(begin), player.findBar(end - 0.1));
  byId("seed").value = seed;
  showStatus(`These bars of the piece before are in the player. Press "${byId(CHANGES[change].button).textContent}" there.`);
}

async function resume() {
  const id = localStorage.getItem("clara-request");
  if (!id || running) return;
  try {
    await follow(`/requests/${id}/events`);
  } catch (error) {
    if (error.name !== "AwayError") localStorage.removeItem("clara-request");
  }
}

const player = new Player({ onError: showError });
const keyboard = new Keyboard(byId("keyboard"), changePlayed);
for (const radio of document.querySelectorAll("[name=source]")) radio.addEventListener("change", changeSource);
byId("example").addEventListener("change", loadExample);
byId("file").addEventListener("change", () => byId("file").files[0] && loadFile(byId("file").files[0]));
for (const kind of ["dragover", "dragleave", "drop"]) {
  byId("drop").addEventListener(kind, event => {
    event.preventDefault();
    byId("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) loadFile(event.dataTransfer.files[0]);
  });
}
byId("connect-midi").addEventListener("click", () => connectMidi().catch(showError));
byId("clear-keys").addEventListener("click", () => {
  keyboard.clear();
  setPrompt(null);
});
byId("octave-down").addEventListener("click", () => keyboard.shift(-12));
byId("octave-up").addEventListener("click", () => keyboard.shift(12));
for (const id of ["metronome", "tempo", "played-signature"]) byId(id).addEventListener("change", changeMetronome);
byId("prompt-show-score").addEventListener("click", event => {
  toggleScore(event.currentTarget, byId("prompt-score"), prompt).catch(showError);
});
byId("prompt-play").addEventListener("click", () => player.toggle(prompt, prompt.title));
byId("randomness").addEventListener("input", showSliderValues);
for (const id of ["model", "length", "quality", "candidates", "use"]) byId(id).addEventListener("change", showForm);
byId("form").addEventListener("input", showForm);
byId("request").addEventListener("submit", compose);
byId("request").addEventListener("change", saveForm);
byId("request").addEventListener("invalid", showInvalid, true);
for (const [change, { button }] of Object.entries(CHANGES)) byId(button).addEventListener("click", () => changeBars(change));
byId("stop").addEventListener("click", () => stop().catch(showError));

// A field in a closed section could not be seen, and the browser would refuse the form in silence.
function showInvalid({ target }) {
  const section = target.closest("details");
  if (section) section.open = true;
  const label = target.closest("label").firstChild.textContent.trim();
  showStatus(`${label}: ${target.validationMessage}`, true);
}

const actions = {
  onContinue: continuePiece,
  onAgain: piece => useAgain(piece).catch(showError),
  onError: showError,
  player,
};
const library = new Library(actions);
byId("show-new").addEventListener("click", () => showLibrary(false));
byId("show-library").addEventListener("click", () => showLibrary(true));

function showLibrary(isShown) {
  byId("pieces").hidden = isShown;
  byId("library").hidden = !isShown;
  byId("show-new").setAttribute("aria-pressed", !isShown);
  byId("show-library").setAttribute("aria-pressed", isShown);
  if (isShown) library.search().catch(showError);
}

let isReady = false;

async function start() {
  if (!isReady) {
    await fillForm();
    isReady = true;
    const saved = localStorage.getItem("clara-form");
    if (saved) await restoreForm(JSON.parse(saved));
  }
  await resume();
}

watchServer(isAway => {
  byId("away").hidden = !isAway;
  if (!isAway) start().catch(showError);
});
start().catch(showError);
