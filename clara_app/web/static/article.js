// An article for a piece: what Clara says of it, roll, player, sheet music and downloads.
import { fetchJson, postJson, request } from "/static/connection.js";
import { drawRoll } from "/static/roll.js";

// What the buttons of an article do: {onContinue(piece, quarter), onAgain(piece), onError(error)}.
export function makeArticle(piece, { onContinue, onAgain, onError }) {
  const article = document.getElementById("piece").content.cloneNode(true).firstElementChild;
  const find = selector => article.querySelector(selector);
  article.dataset.id = piece.id;
  const name = describePiece(piece);
  find("h2").textContent = name;
  find(".facts").textContent = describeFacts(piece);
  fillList(find(".verdicts"), piece.verdicts);
  fillList(find(".details"), piece.details);
  find(".seed").textContent = `Seed ${piece.seed}`;
  for (const link of article.querySelectorAll(".downloads a")) {
    link.href = `/pieces/${piece.id}.${link.dataset.kind}`;
    link.download = `clara-${piece.seed}.${link.dataset.kind}`;
  }
  const audio = find("audio");
  audio.src = `/pieces/${piece.id}.wav`;
  audio.setAttribute("aria-label", `Player of ${name}`);
  article.draw = () => {
    article.draw = null;
    movePlayhead(audio, piece, drawRoll(find(".roll"), piece), onError);
  };
  connectStar(find(".star"), piece, name, onError);
  find(".continue").addEventListener("click", () => {
    audio.pause();
    onContinue(piece, findQuarter(piece, audio.currentTime));
  });
  find(".again").addEventListener("click", () => onAgain(piece));
  find(".show-score").addEventListener("click", event => {
    toggleScore(event.currentTarget, find(".score"), piece).catch(onError);
  });
  return article;
}

function fillList(list, texts) {
  list.replaceChildren(...texts.map(text => Object.assign(document.createElement("li"), { textContent: text })));
}

export function describePiece(piece) {
  const bars = `${piece.n_bars} bar${piece.n_bars === 1 ? "" : "s"}`;
  const after = piece.title.startsWith("Clara, ") ? `, ${piece.title.slice("Clara, ".length)}` : "";
  return `${piece.key ? `${piece.key}, ` : ""}${bars}${after}`;
}

export function describeFacts(piece) {
  const minutes = `${Math.floor(piece.seconds / 60)}:${String(Math.floor(piece.seconds % 60)).padStart(2, "0")}`;
  return [piece.model, piece.time_signatures, minutes].filter(Boolean).join(" · ");
}

// A button that gives a piece a star, or takes it away.
export function connectStar(button, piece, name, onError) {
  const show = () => {
    button.textContent = piece.starred ? "★" : "☆";
    button.setAttribute("aria-pressed", Boolean(piece.starred));
    button.setAttribute("aria-label", `Star for ${name}`);
  };
  show();
  button.addEventListener("click", async () => {
    try {
      ({ starred: piece.starred } = await postJson("/library/star", { id: piece.id, starred: !piece.starred }));
      show();
    } catch (error) {
      onError(error);
    }
  });
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

function movePlayhead(audio, piece, move, onError) {
  const step = () => {
    move(findQuarter(piece, audio.currentTime));
    if (!audio.paused) requestAnimationFrame(step);
  };
  audio.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) {
      if (other !== audio) other.pause();
    }
    loadTimes(piece).catch(onError);
    step();
  });
  audio.addEventListener("seeked", step);
  audio.addEventListener("ended", () => move(null));
}

export async function toggleScore(button, container, piece) {
  const open = container.hidden;
  container.hidden = !open;
  button.setAttribute("aria-expanded", open);
  if (!open || container.children.length) return;
  container.textContent = "engraving …";
  const response = await request(`/pieces/${piece.id}/1.svg`);
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
