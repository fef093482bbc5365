"use strict";
document.documentElement.classList.add("scripted");
const pieces = [...document.querySelectorAll(".piece")];
const find = (selector, within = document) => within.querySelector(selector);
const clock = seconds => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

for (const piece of pieces) {
  const audio = find("audio", piece);
  if (audio) player(piece, audio);
}

/* The button, the slider over the roll and the time of one piece. */
function player(piece, audio) {
  const button = find(".play", piece), slider = find(".roll input", piece), time = find(".time", piece);
  const name = find("h2", piece).textContent.toLowerCase(), length = Number(slider.max);
  audio.controls = false;

  function show() {
    const at = Math.min(audio.currentTime, length);
    slider.value = at;
    slider.setAttribute("aria-valuetext", `${clock(at)} of ${clock(length)}`);
    time.textContent = `${clock(at)} / ${clock(length)}`;
    if (!audio.paused) requestAnimationFrame(show);
  }

  function state() {
    button.classList.toggle("playing", !audio.paused);
    button.setAttribute("aria-label", `${audio.paused ? "Play" : "Pause"} ${name}`);
    show();
  }

  button.addEventListener("click", () => {
    if (!audio.paused) return audio.pause();
    for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    audio.play().catch(() => {});  // told by the error event
  });
  slider.addEventListener("input", () => { audio.currentTime = Number(slider.value); show(); });
  for (const event of ["play", "pause", "seeked"]) audio.addEventListener(event, state);
  audio.addEventListener("ended", () => { audio.currentTime = 0; state(); });
  audio.addEventListener("error", () => { find(".failed", piece).hidden = false; });
  state();
}

const hide = find("#hide");
if (hide) hide.addEventListener("click", () => {
  const quiet = document.body.classList.toggle("quiet");
  hide.textContent = quiet ? "Show the scores" : "Hide the scores";
});

/* The blind test: a vote for each piece, and the answers when they are asked for or all votes are in. */
const reveal = find("#reveal");
if (reveal) {
  const voteOf = piece => find(".vote input:checked", piece)?.value;
  const count = (some, test) => some.filter(test).length;

  function told() {
    const n = count(pieces, voteOf);
    find("#votes").textContent = `${n} of ${pieces.length} voted`;
    reveal.disabled = n === 0;
    if (n === pieces.length) answers();
  }

  function answers() {
    document.body.classList.replace("blind", "revealed");
    for (const piece of pieces) {
      const vote = voteOf(piece), mark = document.createElement("span");
      if (!vote) continue;
      const right = vote === piece.dataset.by;
      mark.className = right ? "right" : "wrong";
      mark.textContent = right ? " You were right." : ` You said ${vote}.`;
      find(".answer", piece).append(mark);
    }
    find("#result").textContent = result();
    find("#result").focus();
    scrollTo({top: 0});
  }

  function result() {
    const voted = pieces.filter(voteOf), right = piece => voteOf(piece) === piece.dataset.by;
    const by = who => voted.filter(piece => piece.dataset.by === who);
    const rate = (some, who) => `${count(some, right)} of ${some.length} by ${who}`;
    const hits = count(voted, right);
    let text = `You were right about ${rate(by("human"), "humans")}, ${rate(by("machine"), "the machine")}: `
      + `${hits} of ${voted.length} in all, ${Math.round(100 * hits / voted.length)}\u00a0%. Guessing gives 50\u00a0%.`;
    if (pieces.every(piece => piece.dataset.critic)) {
      const knew = piece => (Number(piece.dataset.critic) > 0) === (piece.dataset.by === "human");
      const of = who => { const some = pieces.filter(piece => piece.dataset.by === who); return `${count(some, knew)} of ${some.length}`; };
      text += ` The critic was right about ${of("human")} and ${of("machine")}.`;
    }
    return text;
  }

  for (const input of document.querySelectorAll(".vote input")) {
    input.checked = false;  // browsers remember
    input.addEventListener("change", told);
  }
  reveal.addEventListener("click", answers);
  told();
}
