// Requests to the server, and whether it is there.
const CHECK_MS = 3000;

let isAway = false;
let onChange = () => {};

// The function is called with true when the server goes away, and with false when it is back.
export function watchServer(changed) {
  onChange = changed;
  setInterval(checkServer, CHECK_MS);
}

async function checkServer() {
  if (document.hidden && !isAway) return;
  const response = await fetch("/static/icon.svg", { method: "HEAD", cache: "no-store" }).catch(() => null);
  setAway(!response);
}

function setAway(away) {
  if (away === isAway) return;
  isAway = away;
  onChange(away);
}

// As `fetch`, but a server that is away has a message of its own.
export async function request(path, options) {
  try {
    const response = await fetch(path, options);
    setAway(false);
    return response;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw awayError();
  }
}

function awayError() {
  setAway(true);
  return Object.assign(new Error("the server is away; nothing is lost"), { name: "AwayError" });
}

export async function fetchJson(path, body, headers = {}) {
  const response = await request(path, { method: body === undefined ? "GET" : "POST", body, headers });
  const payload = await response.json().catch(() => ({ error: `no answer (${response.status})` }));
  if (!response.ok) throw new Error(payload.error);
  return payload;
}

export const postJson = (path, payload) => fetchJson(path, JSON.stringify(payload));

export async function* readJsonLines(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read().catch(error => {
      throw error.name === "AbortError" ? error : awayError();
    });
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}
