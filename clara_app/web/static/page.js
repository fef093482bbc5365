// The form, the stream of events from the server, and an article for each candidate.
import { drawRoll } from "/static/roll.js";
import { Keyboard } from "/static/keyboard.js";

const byId = id => document.getElementById(id);
const N_SHOWN = 8;
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
const ADVANCED_SETTINGS = ["temperature", "top_p", "min_p", "repetition_penalty", "repeat_strength"];

let prompt = null;
let running = null; // AbortController of the request that is being composed for
let pieces = []; // candidates, best first

async function fetchJson(path, body, headers = {}) {
  const response = await fetch(path, { method: body === undefined ? "GET" : "POST", body, headers });
  const payload = await response.json().catch(() => ({ error: `no answer (${response.status})` }));
  if (!response.ok) throw new Error(payload.error);
  return payload;
}

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

async function fillForm() {
  const about = await fetchJson("/about");
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
let continuedPiece = null;
let promptPlayer = null;
let playedTimer = null; // runs while something was played that the server has not read

function changeSource() {
  const source = document.querySelector("[name=source]:checked").value;
  for (const part of document.querySelectorAll("[data-source]")) part.hidden = part.dataset.source !== source;
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
}

async function loadPrompt(promise, defaultQuarters) {
  const thisLoad = ++nLoads; // the latest request counts, whichever response comes last
  showStatus("reading …");
  try {
    const loaded = await promise;
    if (thisLoad !== nLoads) return;
    setPrompt(loaded, defaultQuarters);
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
  promptPlayer?.pause();
  endPromptPlayer();
  byId("prompt").hidden = !piece;
  byId("prompt-score").replaceChildren();
  byId("prompt-score").hidden = true;
  byId("prompt-show-score").setAttribute("aria-expanded", false);
  showTimeSignature(piece);
  showForm();
  if (!piece) return;
  drawRoll(byId("prompt-roll"), { ...piece, window_log_odds: [], prompt_quarters: piece.quarters }, 3);
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
  byId("form").disabled = !follows || Boolean(prompt);
  byId("length").disabled = readFormLetters() !== null;
  byId("ending-choice").hidden = !follows;
  byId("cadence-choice").hidden = follows;
  byId("repeat-choice").hidden = follows;
  byId("form-note").textContent = !follows ? "This model follows no plans, so it takes no form."
    : prompt ? "A form is for pieces without a prompt."
      : "Form: AABA for four sections of eight bars, or A8 B16 A8 with numbers of bars. It sets the length.";
}

function readFormLetters() {
  return byId("form").disabled ? null : byId("form").value.trim() || null;
}

async function togglePromptPlayer() {
  if (promptPlayer) {
    promptPlayer.pause();
    endPromptPlayer();
    return;
  }
  promptPlayer = new Audio(await fetchAudioUrl(prompt.id));
  promptPlayer.addEventListener("ended", endPromptPlayer);
  await promptPlayer.play();
  byId("prompt-play").textContent = "Stop";
}

function endPromptPlayer() {
  promptPlayer = null;
  byId("prompt-play").textContent = "Listen";
}

async function fetchAudioUrl(pieceId) {
  const response = await fetch(`/pieces/${pieceId}.wav`);
  if (!response.ok) throw new Error("that piece is no longer here");
  return URL.createObjectURL(await response.blob());
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
    ending: followsPlans() ? byId("ending").checked : null,
    time_signature: prompt ? null : byId("time-signature").value,
    candidates: +byId("candidates").value,
    randomness: +byId("randomness").value,
    advanced,
    key: byId("key").value,
    composer: byId("composer").value,
    prompt: prompt?.id ?? null,
    prompt_quarters: prompt ? number("prompt-quarters") : null,
    seed: number("seed") ?? Math.floor(Math.random() * 1e6),
    qpm: number("qpm"),
    search: byId("search").checked,
    flat: !byId("performed").checked,
    cadence: !followsPlans() && byId("cadence").checked,
  };
}

async function compose(event) {
  event.preventDefault();
  if (running) return;
  if (playedTimer) await loadPlayed();
  const source = document.querySelector("[name=source]:checked").value;
  if (source !== "none" && !prompt) {
    showStatus(`${MISSING_PROMPT[source]}, or choose "none" to start from nothing`, true);
    return;
  }
  running = new AbortController();
  pieces = [];
  byId("pieces").replaceChildren();
  byId("progress").value = 0;
  showRunning(true);
  const startTime = performance.now();
  showStatus("sending …");
  try {
    const request = readForm();
    const response = await fetch("/compose", { method: "POST", body: JSON.stringify(request), signal: running.signal });
    if (!response.ok) throw new Error((await response.json()).error);
    for await (const message of readJsonLines(response.body)) handleMessage(message, request, startTime);
  } catch (error) {
    if (error.name === "AbortError") showStatus("stopped");
    else showError(error);
  }
  running = null;
  showRunning(false);
}

function showRunning(isRunning) {
  byId("compose").disabled = isRunning;
  byId("stop").hidden = !isRunning;
  byId("progress").hidden = !isRunning;
}

async function* readJsonLines(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}

function handleMessage(message, request, startTime) {
  const seconds = ((performance.now() - startTime) / 1000).toFixed(1);
  if (message.error) throw new Error(message.error);
  if (message.position) showStatus(`${message.position} before you …`);
  if (message.state) showStatus("composing …");
  if (message.progress !== undefined) byId("progress").value = message.progress;
  if (message.candidates) {
    pieces.push(...message.candidates);
    pieces.sort((a, b) => (b.total ?? -Infinity) - (a.total ?? -Infinity) || a.seed - b.seed);
    showPieces();
    const nShown = Math.min(N_SHOWN, pieces.length);
    showStatus(`${pieces.length} of ${request.candidates} composed in ${seconds} s; these are the best ${nShown}`);
  }
  if (message.done) {
    const stopped = message.stopped ? ", stopped early" : "";
    const nShown = Math.min(N_SHOWN, pieces.length);
    showStatus(`${pieces.length} composed and ranked in ${seconds} s${stopped}; these are the best ${nShown}`);
  }
}

// Articles that stay are kept as elements of the document, so that audio keeps playing.
function showPieces() {
  const best = pieces.slice(0, N_SHOWN);
  const present = new Map([...byId("pieces").children].map(article => [article.dataset.id, article]));
  const articles = best.map(piece => present.get(piece.id) ?? makeArticle(piece));
  const playing = [...present.values()].find(article => !article.querySelector("audio").paused);
  if (playing && !articles.includes(playing)) articles.push(playing);
  articles.forEach((article, i) => {
    article.querySelector("h2").textContent = i < best.length ? `${i + 1}` : "still playing";
  });
  for (const article of [...byId("pieces").children]) {
    if (!articles.includes(article)) article.remove();
  }
  if (playing) orderAround(articles, playing);
  else byId("pieces").replaceChildren(...articles);
  for (const article of articles) article.draw?.();
}

// Moving a player within the document would silence it, so the others move around it.
function orderAround(articles, playing) {
  const position = articles.indexOf(playing);
  for (const article of articles.slice(0, position)) byId("pieces").insertBefore(article, playing);
  for (const article of articles.slice(position + 1)) byId("pieces").append(article);
}

function makeArticle(piece) {
  const article = byId("piece").content.cloneNode(true).firstElementChild;
  const find = selector => article.querySelector(selector);
  article.dataset.id = piece.id;
  find(".scores").textContent = describeRank(piece);
  for (const text of piece.descriptions) {
    find(".descriptions").append(Object.assign(document.createElement("li"), { textContent: text }));
  }
  for (const link of article.querySelectorAll(".downloads a")) {
    link.href = `/pieces/${piece.id}.${link.dataset.kind}`;
    link.download = `clara-${piece.seed}.${link.dataset.kind}`;
  }
  const audio = find("audio");
  audio.src = `/pieces/${piece.id}.wav`;
  audio.setAttribute("aria-label", "Player");
  article.draw = () => {
    article.draw = null;
    movePlayhead(audio, piece, drawRoll(find(".roll"), piece));
  };
  find(".continue").addEventListener("click", () => continuePiece(piece, audio));
  find(".show-score").addEventListener("click", event => {
    toggleScore(event.currentTarget, find(".score"), piece).catch(showError);
  });
  return article;
}

function describeRank(piece) {
  const logOdds = piece.scores.critic;
  if (logOdds === undefined) return "not scored";
  return `total ${piece.total.toFixed(2)} · critic ${logOdds.toFixed(2)}`;
}

// A piece has `times` once it plays: pairs of quarters and seconds, between which the tempo is constant.
function findQuarter(piece, seconds) {
  const times = piece.times ?? [[0, 0], [piece.quarters, piece.quarters * 60 / piece.qpm]];
  const found = times.findIndex((pair, i) => i && pair[1] >= seconds);
  if (found < 0) return times.at(-1)[0];
  const [low, high] = [times[found - 1], times[found]];
  return low[0] + (high[0] - low[0]) * (seconds - low[1]) / Math.max(high[1] - low[1], 1e-6);
}

async function loadTimes(piece) {
  piece.times ??= await fetchJson(`/pieces/${piece.id}.json`);
}

function movePlayhead(audio, piece, move) {
  const step = () => {
    move(findQuarter(piece, audio.currentTime));
    if (!audio.paused) requestAnimationFrame(step);
  };
  audio.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) {
      if (other !== audio) other.pause();
    }
    loadTimes(piece).catch(showError);
    step();
  });
  audio.addEventListener("seeked", step);
  audio.addEventListener("ended", () => move(null));
}

function continuePiece(piece, audio) {
  const position = findQuarter(piece, audio.currentTime);
  const isInside = position > piece.prompt_quarters + 1 && position < piece.quarters - 1;
  continuedPiece = { ...piece, losses: "" };
  byId("source-piece").hidden = false;
  byId("source-piece").querySelector("span").textContent = `Clara's piece ${pieces.indexOf(piece) + 1}`;
  document.querySelector("[name=source][value=piece]").checked = true;
  audio.pause();
  changeSource();
  if (isInside) byId("prompt-quarters").value = Math.round(position);
  showStatus("Press Compose to continue this piece.");
  byId("compose").focus();
  const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
  byId("request").scrollIntoView({ behavior });
}

async function toggleScore(button, container, piece) {
  const open = container.hidden;
  container.hidden = !open;
  button.setAttribute("aria-expanded", open);
  if (!open || container.children.length) return;
  container.textContent = "engraving …";
  const response = await fetch(`/pieces/${piece.id}/1.svg`);
  if (!response.ok) {
    container.textContent = (await response.json()).error;
    return;
  }
  const nPages = +response.headers.get("x-pages");
  const images = [...Array(nPages).keys()].map(i => Object.assign(new Image(), {
    src: `/pieces/${piece.id}/${i + 1}.svg`,
    alt: `Sheet music, page ${i + 1} of ${nPages}`,
    loading: "lazy",
  }));
  container.replaceChildren(...images);
}

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
byId("prompt-play").addEventListener("click", () => togglePromptPlayer().catch(showError));
byId("randomness").addEventListener("input", showSliderValues);
byId("model").addEventListener("change", showForm);
byId("form").addEventListener("input", showForm);
byId("request").addEventListener("submit", compose);
byId("stop").addEventListener("click", () => running?.abort());
fillForm().catch(showError);
