// The form, the stream of candidates, and each candidate's article.
import { drawRoll } from "/static/roll.js";
import { Keyboard } from "/static/keyboard.js";

const $ = id => document.getElementById(id);
const KEPT = 8, KEYS = ["C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"];
const TEMPERATURE = [0.7, 0.975, 1.25], TOP_P = [0.9, 0.98, 1];
let prompt = null, running = null, pieces = [];

async function ask(path, body, headers = {}) {
  const answer = await fetch(path, { method: body === undefined ? "GET" : "POST", body, headers });
  const told = await answer.json().catch(() => ({ error: `no answer (${answer.status})` }));
  if (!answer.ok) throw new Error(told.error);
  return told;
}

function say(text, bad = false) {
  $("status").textContent = text;
  $("status").classList.toggle("bad", bad);
}

function option(select, value, text) {
  const node = new Option(text, value);
  select.append(node);
  return node;
}

async function begin() {
  const about = await ask("/about");
  for (const m of about.models) option($("model"), m.name, m.title).selected = m.name === about.preferred;
  for (const e of about.examples) option($("example"), e.name, e.title);
  for (const k of KEYS) for (const mode of ["major", "minor"]) option($("key"), `${k} ${mode}`, `${k} ${mode}`);
  offerComposers(about.composers);
  slide();
}

function offerComposers(names) {
  if ($("composer").options.length > 1) return;
  for (const name of names) option($("composer"), name, name[0].toUpperCase() + name.slice(1));
  if (!names.length) setTimeout(async () => offerComposers((await ask("/about")).composers), 1000);
}

function between(at, values) {
  const [low, middle, high] = values;
  return at <= 50 ? low + (middle - low) * at / 50 : middle + (high - middle) * (at - 50) / 50;
}

function slide() {
  $("temperature").placeholder = between(+$("freedom").value, TEMPERATURE).toFixed(2);
  $("top_p").placeholder = between(+$("freedom").value, TOP_P).toFixed(2);
}

// --- the beginning

function chosenFrom() { return new FormData($("wish")).get("from"); }

function showFrom() {
  const from = document.querySelector("[name=from]:checked").value;
  for (const part of document.querySelectorAll("[data-from]")) part.hidden = part.dataset.from !== from;
  if (from !== "play") { keyboard.click(0); $("click").checked = false; }
  setPrompt(null);
  loads++;
  if (from === "example") loadExample();
  if (from === "piece") setPrompt(continued);
}

let loads = 0;
async function load(promise, first) {
  const mine = ++loads; // what was asked for last counts, whatever comes last
  say("reading …");
  try {
    const found = await promise;
    if (mine !== loads) return;
    setPrompt(found, first);
    const lost = Object.entries(found.losses).map(([what, n]) => `${n} ${what.replaceAll("_", " ")}`).join(", ");
    say(lost ? `read; ${lost}` : "");
  } catch (error) { if (mine === loads) { setPrompt(null); say(error.message, true); } }
}

const loadExample = () => load(ask(`/prompts/example/${$("example").value}`, ""));
const loadFile = file => load(file.arrayBuffer().then(data => ask("/prompts/upload", data, { "X-File-Name": encodeURIComponent(file.name) })), 32);
const loadPlayed = () => load(ask("/prompts/played", JSON.stringify({ strokes: keyboard.strokes, qpm: +$("tempo").value })));

let promptPlayer = null;
function setPrompt(found, first) {
  prompt = found;
  promptPlayer?.pause();
  promptPlayer = null;
  $("prompt").hidden = !found;
  if (!found) return;
  drawRoll($("prompt-roll"), { ...found, curve: [], prompt_quarters: found.quarters }, 3);
  const all = Math.max(1, Math.ceil(found.quarters));
  $("prompt-quarters").max = Math.min(512, all);
  $("prompt-quarters").value = Math.min(first ?? all, all, 512);
  $("prompt-told").textContent = `of ${all} quarter notes`;
}

async function listen() {
  if (promptPlayer) { promptPlayer.pause(); promptPlayer = null; $("prompt-play").textContent = "Listen"; return; }
  promptPlayer = new Audio(await soundOf(prompt.id));
  promptPlayer.addEventListener("ended", () => { promptPlayer = null; $("prompt-play").textContent = "Listen"; });
  await promptPlayer.play();
  $("prompt-play").textContent = "Stop";
}

async function soundOf(id) {
  const answer = await fetch(`/pieces/${id}.wav`);
  if (!answer.ok) throw new Error("that piece is no longer here");
  return URL.createObjectURL(await answer.blob());
}

// --- composing

function wish() {
  const number = id => $(id).value === "" ? null : +$(id).value;
  const advanced = Object.fromEntries(["temperature", "top_p", "min_p", "repetition_penalty", "repeat_strength"].map(id => [id, number(id)]).filter(([, v]) => v !== null));
  return { model: $("model").value, quarters: +$("quarters").value, candidates: +$("candidates").value, freedom: +$("freedom").value, advanced,
    key: $("key").value, composer: $("composer").value, prompt: prompt?.id ?? null, prompt_quarters: prompt ? number("prompt-quarters") : null,
    seed: number("seed") ?? Math.floor(Math.random() * 1e6), qpm: number("qpm"), search: $("search").checked, cadence: $("cadence").checked };
}

async function compose(event) {
  event.preventDefault();
  if (running) return;
  running = new AbortController();
  pieces = [];
  $("pieces").replaceChildren();
  $("go").disabled = true; $("stop").hidden = false; $("progress").hidden = false; $("progress").value = 0;
  const began = performance.now();
  say("asking …");
  try {
    const asked = wish();
    const answer = await fetch("/compose", { method: "POST", body: JSON.stringify(asked), signal: running.signal });
    if (!answer.ok) throw new Error((await answer.json()).error);
    for await (const told of lines(answer.body)) hear(told, asked, began);
  } catch (error) {
    say(error.name === "AbortError" ? "stopped" : error.message, error.name !== "AbortError");
  }
  running = null;
  $("go").disabled = false; $("stop").hidden = true; $("progress").hidden = true;
}

async function* lines(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) yield JSON.parse(part);
  }
}

function hear(told, asked, began) {
  const seconds = () => ((performance.now() - began) / 1000).toFixed(1);
  if (told.error) throw new Error(told.error);
  if (told.place) say(`${told.place} before you …`);
  if (told.state) say("composing …");
  if (told.progress !== undefined) $("progress").value = told.progress;
  if (told.candidates) {
    pieces.push(...told.candidates);
    pieces.sort((a, b) => (b.total ?? -Infinity) - (a.total ?? -Infinity) || a.seed - b.seed);
    show();
    say(`${pieces.length} of ${asked.candidates} composed in ${seconds()} s; here are the best ${Math.min(KEPT, pieces.length)}`);
  }
  if (told.done) say(`${pieces.length} composed and ranked in ${seconds()} s${told.stopped ? ", stopped early" : ""}; here are the best ${Math.min(KEPT, pieces.length)}`);
}

// Articles that stay keep their place in the document's memory, so that what plays goes on playing.
function show() {
  const best = pieces.slice(0, KEPT);
  const there = new Map([...$("pieces").children].map(a => [a.dataset.id, a]));
  const articles = best.map(piece => there.get(piece.id) ?? article(piece));
  const playing = [...there.values()].find(a => !a.querySelector("audio").paused);
  if (playing && !articles.includes(playing)) articles.push(playing);
  articles.forEach((a, i) => { a.querySelector("h2").textContent = i < best.length ? `${i + 1}` : "still playing"; });
  let at = $("pieces").firstElementChild;
  for (const a of [...$("pieces").children]) if (!articles.includes(a)) { if (a === at) at = at.nextElementSibling; a.remove(); }
  if (playing) order(articles, playing); else $("pieces").replaceChildren(...articles);
  for (const a of articles) a.draw?.();
}

function order(articles, fixed) { // moving a player in the document would silence it, so the others move around it
  const at = articles.indexOf(fixed);
  for (const a of articles.slice(0, at)) $("pieces").insertBefore(a, fixed);
  for (const a of articles.slice(at + 1)) $("pieces").append(a);
}

function article(piece) {
  const node = $("piece").content.cloneNode(true).firstElementChild, find = s => node.querySelector(s);
  node.dataset.id = piece.id;
  const odds = piece.scores.critic;
  find(".odds").textContent = odds === undefined ? "not judged" : `ranked by ${piece.total.toFixed(2)} · log-odds human ${odds.toFixed(2)}`;
  find(".told").append(...piece.told.map(t => Object.assign(document.createElement("li"), { textContent: t })));
  for (const a of node.querySelectorAll(".downloads a")) { a.href = `/pieces/${piece.id}.${a.dataset.kind}`; a.download = `clara-${piece.seed}.${a.dataset.kind}`; }
  const audio = find("audio");
  audio.src = `/pieces/${piece.id}.wav`;
  audio.setAttribute("aria-label", "Player");
  node.draw = () => { node.draw = null; follow(audio, piece, drawRoll(find(".roll"), piece)); };
  find(".continue").addEventListener("click", () => goOn(piece, audio));
  find(".sheet").addEventListener("click", event => sheet(event.currentTarget, find(".score"), piece).catch(error => say(error.message, true)));
  return node;
}

function follow(audio, piece, move) {
  const step = () => {
    move(audio.currentTime * piece.qpm / 60);
    if (!audio.paused) requestAnimationFrame(step);
  };
  audio.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    step();
  });
  audio.addEventListener("seeked", step);
  audio.addEventListener("ended", () => move(null));
}

let continued = null;
function goOn(piece, audio) {
  const at = audio.currentTime * piece.qpm / 60, within = at > piece.prompt_quarters + 1 && at < piece.quarters - 1;
  continued = { ...piece, losses: {} };
  const rank = pieces.indexOf(piece) + 1;
  $("from-piece").hidden = false;
  $("from-piece").querySelector("span").textContent = `Clara's piece ${rank}`;
  document.querySelector("[name=from][value=piece]").checked = true;
  audio.pause();
  showFrom();
  if (within) $("prompt-quarters").value = Math.round(at);
  say("Press Compose to go on from it.");
  $("go").focus();
  $("wish").scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

async function sheet(button, where, piece) {
  const open = where.hidden;
  where.hidden = !open;
  button.setAttribute("aria-expanded", open);
  if (!open || where.children.length) return;
  where.textContent = "engraving …";
  const first = await fetch(`/pieces/${piece.id}/1.svg`);
  if (!first.ok) { where.textContent = (await first.json()).error; return; }
  const pages = [...Array(+first.headers.get("x-pages")).keys()].map(i => i + 1);
  where.replaceChildren(...pages.map(n => Object.assign(new Image(), { src: `/pieces/${piece.id}/${n}.svg`, alt: `Sheet music, page ${n} of ${pages.length}`, loading: "lazy" })));
}

const keyboard = new Keyboard($("keyboard"), strokes => { $("use").disabled = !strokes.length; });
$("use").disabled = true;
for (const radio of document.querySelectorAll("[name=from]")) radio.addEventListener("change", showFrom);
$("example").addEventListener("change", loadExample);
$("file").addEventListener("change", () => $("file").files[0] && loadFile($("file").files[0]));
for (const kind of ["dragover", "dragleave", "drop"]) $("drop").addEventListener(kind, event => {
  event.preventDefault();
  $("drop").classList.toggle("over", kind === "dragover");
  if (kind === "drop" && event.dataTransfer.files[0]) loadFile(event.dataTransfer.files[0]);
});
$("use").addEventListener("click", loadPlayed);
$("again").addEventListener("click", () => { keyboard.clear(); setPrompt(null); });
$("octave-down").addEventListener("click", () => keyboard.move(-12));
$("octave-up").addEventListener("click", () => keyboard.move(12));
$("click").addEventListener("change", () => keyboard.click($("click").checked ? +$("tempo").value : 0));
$("prompt-play").addEventListener("click", () => listen().catch(error => say(error.message, true)));
$("freedom").addEventListener("input", slide);
$("wish").addEventListener("submit", compose);
$("stop").addEventListener("click", () => running?.abort());
begin().catch(error => say(error.message, true));
