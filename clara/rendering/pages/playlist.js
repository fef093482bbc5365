"use strict";
document.documentElement.classList.add("scripted");
const pieces = [...document.querySelectorAll(".piece")];
const find = (selector, within = document) => within.querySelector(selector);
const formatTime = seconds => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

for (const piece of pieces) {
  const audio = find("audio", piece);
  if (audio) connectPlayer(piece, audio);
}

/* Return the value in column `to` of the table where column `from` has this value. */
function interpolate(table, value, from, to) {
  const found = table.findIndex((row, i) => i && row[from] >= value);
  const next = found < 0 ? table.length - 1 : found;
  const low = table[next - 1], high = table[next];
  const span = high[from] - low[from];
  return span > 0 ? low[to] + (high[to] - low[to]) * (value - low[from]) / span : low[to];
}

/* Connect the play button, the slider over the roll and the time display of one piece. */
function connectPlayer(piece, audio) {
  const button = find(".play", piece), slider = find(".roll input", piece), time = find(".time", piece);
  const name = find("h2", piece).textContent.toLowerCase();
  // The slider is a place in the score: pairs of quarters and seconds, between which the tempo is constant.
  const times = JSON.parse(slider.dataset.times), length = times.at(-1)[1];
  audio.controls = false;

  function showPosition() {
    const position = Math.min(audio.currentTime, length);
    slider.value = interpolate(times, position, 1, 0);
    slider.setAttribute("aria-valuetext", `${formatTime(position)} of ${formatTime(length)}`);
    time.textContent = `${formatTime(position)} / ${formatTime(length)}`;
    if (!audio.paused) requestAnimationFrame(showPosition);
  }

  function showState() {
    button.classList.toggle("playing", !audio.paused);
    button.setAttribute("aria-label", `${audio.paused ? "Play" : "Pause"} ${name}`);
    showPosition();
  }

  button.addEventListener("click", () => {
    if (!audio.paused) return audio.pause();
    for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    audio.play().catch(() => {});  // the error event reports it
  });
  slider.addEventListener("input", () => {
    audio.currentTime = interpolate(times, Number(slider.value), 0, 1);
    showPosition();
  });
  for (const event of ["play", "pause", "seeked"]) audio.addEventListener(event, showState);
  audio.addEventListener("ended", () => { audio.currentTime = 0; showState(); });
  audio.addEventListener("error", () => { find(".failed", piece).hidden = false; });
  showState();
}

const hide = find("#hide");
if (hide) hide.addEventListener("click", () => {
  const quiet = document.body.classList.toggle("quiet");
  hide.textContent = quiet ? "Show the scores" : "Hide the scores";
});

/* The blind test: one vote for each piece; the answers appear on request, or when all votes are in. */
const reveal = find("#reveal");
if (reveal) {
  const voteOf = piece => find(".vote input:checked", piece)?.value;
  const count = (items, test) => items.filter(test).length;

  function showVotes() {
    const n = count(pieces, voteOf);
    find("#votes").textContent = `${n} of ${pieces.length} voted`;
    reveal.disabled = n === 0;
    if (n === pieces.length) showAnswers();
  }

  function showAnswers() {
    document.body.classList.replace("blind", "revealed");
    for (const piece of pieces) {
      const vote = voteOf(piece), mark = document.createElement("span");
      if (!vote) continue;
      const right = vote === piece.dataset.author;
      mark.className = right ? "right" : "wrong";
      mark.textContent = right ? " You were right." : ` You said ${vote}.`;
      find(".answer", piece).append(mark);
    }
    find("#result").textContent = summarizeVotes();
    find("#result").focus();
    scrollTo({top: 0});
  }

  function summarizeVotes() {
    const voted = pieces.filter(voteOf), isRight = piece => voteOf(piece) === piece.dataset.author;
    const piecesBy = author => voted.filter(piece => piece.dataset.author === author);
    const rate = (items, author) => `${count(items, isRight)} of ${items.length} by ${author}`;
    const hits = count(voted, isRight);
    let text = `You were right about ${rate(piecesBy("human"), "humans")}, ${rate(piecesBy("machine"), "the machine")}: `
      + `${hits} of ${voted.length} in all, ${Math.round(100 * hits / voted.length)}\u00a0%. Guessing gives 50\u00a0%.`;
    if (pieces.every(piece => piece.dataset.critic)) {
      const criticIsRight = piece => (Number(piece.dataset.critic) > 0) === (piece.dataset.author === "human");
      const criticRate = author => {
        const items = pieces.filter(piece => piece.dataset.author === author);
        return `${count(items, criticIsRight)} of ${items.length}`;
      };
      text += ` The critic was right about ${criticRate("human")} human pieces and ${criticRate("machine")} composed ones.`;
    }
    return text;
  }

  for (const input of document.querySelectorAll(".vote input")) {
    input.checked = false;  // browsers restore votes when a page reloads
    input.addEventListener("change", showVotes);
  }
  reveal.addEventListener("click", showAnswers);
  showVotes();
}
