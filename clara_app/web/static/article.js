// An article for a piece: what Clara says of it, roll, player, sheet music and downloads.
import { fetchJson, postJson, request } from "/static/connection.js";
import { openEditor } from "/static/editor.js";
import { drawRoll } from "/static/roll.js";

const MIN_LOOP_QUARTERS = 1.5; // shorter ways of the pointer are clicks

// What the buttons of an article do: {onContinue(piece, quarter), onAgain(piece), onError(error)}, and the player.
export function makeArticle(piece, actions) {
  const { onContinue, onAgain, onError, player } = actions;
  const article = document.getElementById("piece").content.cloneNode(true).firstElementChild;
  const find = selector => article.querySelector(selector);
  article.dataset.id = piece.id;
  const name = describePiece(piece);
  find("h2").textContent = name;
  find(".facts").textContent = describeFacts(piece);
  fillList(find(".verdicts"), piece.verdicts);
  fillList(find(".details"), piece.details);
  find("details").hidden = !isComposed(piece);
  find(".seed").textContent = `Seed ${piece.seed}`;
  find(".share").href = `/library/export.html?ids=${piece.id}`;
  for (const link of article.querySelectorAll(".downloads a[data-kind]")) {
    link.href = `/pieces/${piece.id}.${link.dataset.kind}`;
    link.download = `clara-${piece.seed}.${link.dataset.kind}`;
  }
  find(".play").dataset.plays = piece.id;
  find(".play").setAttribute("aria-label", `Play or pause ${name}`);
  find(".play").addEventListener("click", () => player.toggle(piece, name));
  article.draw = () => {
    article.draw = null;
    drawPlayable(find(".roll"), piece, name, player);
  };
  connectStar(find(".star"), piece, name, onError);
  find(".continue").addEventListener("click", () => {
    player.sound.pause();
    onContinue(piece, player.piece?.id === piece.id ? player.quarter : 0);
  });
  const edit = find(".edit");
  edit.addEventListener("click", () => {
    player.sound.pause();
    edit.disabled = true;
    openEditor(article, piece, {
      onError,
      onClosed: () => {
        edit.disabled = false;
        edit.focus();
      },
      onSaved: version => addArticle(article, version, actions),
    });
  });
  find(".before").hidden = !piece.version_of;
  find(".before").addEventListener("click", () => showVersionBefore(article, piece, actions).catch(onError));
  find(".again").addEventListener("click", () => onAgain(piece));
  find(".show-score").addEventListener("click", event => {
    toggleScore(event.currentTarget, find(".score"), piece).catch(onError);
  });
  return article;
}

function addArticle(other, piece, actions) {
  const article = makeArticle(piece, actions);
  other.before(article);
  article.draw();
  article.querySelector(".edit").focus();
}

async function showVersionBefore(article, piece, actions) {
  const present = document.querySelector(`article[data-id="${piece.version_of}"]`);
  if (present?.checkVisibility()) present.querySelector(".edit").focus();
  else addArticle(article, await fetchJson(`/cards/${piece.version_of}`), actions);
}

// Draw a roll that plays: a click goes to its place, and drawing over bars loops them.
export function drawPlayable(figure, piece, name, player, rowHeight) {
  let first = null;
  const { move, findQuarter } = drawRoll(figure, piece, { rowHeight });
  player.addView(piece, figure, move);
  figure.onpointerdown = event => {
    first = findQuarter(event.clientX);
  };
  figure.onpointerup = event => {
    if (first === null) return;
    const [from, to] = [first, findQuarter(event.clientX)].sort((a, b) => a - b);
    first = null;
    player.open(piece, name);
    if (to - from < MIN_LOOP_QUARTERS) player.seek(to);
    else player.setLoop(player.findBar(from), player.findBar(to));
    if (player.sound.paused) player.toggle();
  };
  figure.onpointercancel = () => {
    first = null; // the finger scrolls
  };
}

function fillList(list, texts) {
  list.replaceChildren(...texts.map(text => Object.assign(document.createElement("li"), { textContent: text })));
}

export function isComposed(piece) {
  return (piece.source ?? "composed") === "composed";
}

export function describePiece(piece) {
  const bars = `${piece.n_bars} bar${piece.n_bars === 1 ? "" : "s"}`;
  if (!isComposed(piece)) return `${piece.title}, ${bars}`;
  const after = piece.title.startsWith("Clara, ") ? `, ${piece.title.slice("Clara, ".length)}` : "";
  return `${piece.key ? `${piece.key}, ` : ""}${bars}${after}`;
}

export function describeFacts(piece) {
  const minutes = `${Math.floor(piece.seconds / 60)}:${String(Math.floor(piece.seconds % 60)).padStart(2, "0")}`;
  return [isComposed(piece) ? piece.model : piece.key, piece.time_signatures, minutes].filter(Boolean).join(" · ");
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
  const printer = document.createElement("button");
  printer.type = "button";
  printer.textContent = "Print, or save as PDF";
  printer.addEventListener("click", () => printPages(images));
  container.replaceChildren(printer, ...images);
}

// Print copies of the pages and nothing else; the browser's dialog also saves them as PDF.
async function printPages(images) {
  const copies = images.map(image => Object.assign(new Image(), { src: image.src, alt: image.alt }));
  const sheet = document.createElement("div");
  sheet.id = "sheet";
  sheet.append(...copies);
  document.body.append(sheet);
  await Promise.allSettled(copies.map(copy => copy.decode()));
  document.body.classList.add("printing");
  addEventListener("afterprint", () => {
    document.body.classList.remove("printing");
    sheet.remove();
  }, { once: true });
  print();
}
