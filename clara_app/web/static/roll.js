// A piano roll with the critic's curve under it.
const NS = "http://www.w3.org/2000/svg";
const LEFT = 34, TOP = 4, AXIS = 18, CURVE = 46, BLACK = new Set([1, 3, 6, 8, 10]);
const LEAST_PER_QUARTER = 7;

function add(parent, name, attributes, text) {
  const node = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}

// Draw into a figure; returns what moves the play head to some quarters, or hides it.
export function drawRoll(figure, piece, ROW = 5) {
  const { notes, quarters, prompt_quarters: given = 0, curve = [], window_quarters: span = 8 } = piece;
  const pitches = notes.map(n => n[2]);
  const low = Math.min(...pitches, 57) - 2, high = Math.max(...pitches, 75) + 2;
  const length = Math.max(quarters, 4);
  const width = Math.max(figure.clientWidth || 700, LEFT + length * LEAST_PER_QUARTER), x = q => LEFT + q / length * (width - LEFT - 4);
  const y = p => TOP + (high - p) * ROW, bottom = y(low) + ROW;
  const height = bottom + AXIS + (curve.length ? CURVE : 0);
  const svg = document.createElementNS(NS, "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `Piano roll: ${notes.length} notes in ${Math.round(quarters / 4)} bars`);
  svg.style.minWidth = `${LEFT + length * LEAST_PER_QUARTER}px`;
  for (let p = low; p <= high; p++) {
    if (BLACK.has((p + 120) % 12)) add(svg, "rect", { class: "black", x: LEFT, y: y(p), width: width - LEFT - 4, height: ROW });
    if (p % 12 === 0) add(svg, "text", { x: 2, y: y(p) + ROW }, `C${p / 12 - 1}`);
  }
  const every = [1, 2, 4, 8, 16].find(n => x(4 * n) - x(0) > 20) ?? 32;
  for (let bar = 0; bar * 4 <= length; bar++) {
    add(svg, "line", { class: "bar", x1: x(bar * 4), x2: x(bar * 4), y1: TOP, y2: bottom });
    if (bar % every === 0 && bar * 4 < length) add(svg, "text", { x: x(bar * 4) + 3, y: bottom + 13 }, bar + 1);
  }
  for (const [start, duration, pitch, part] of notes)
    add(svg, "rect", { class: start < given ? "given" : `part${part % 4}`, x: x(start), y: y(pitch), width: Math.max(1.5, x(start + duration) - x(start) - 1), height: ROW - 0.6, rx: 1 });
  if (given && given < length) add(svg, "line", { class: "seam", x1: x(given), x2: x(given), y1: TOP, y2: bottom });
  if (curve.length) drawCurve(svg, curve, x, given, span, length, bottom + AXIS);
  const head = add(svg, "line", { class: "head", x1: 0, x2: 0, y1: TOP, y2: bottom, visibility: "hidden" });
  figure.replaceChildren(svg);
  return at => {
    head.setAttribute("visibility", at === null ? "hidden" : "visible");
    if (at !== null) { head.setAttribute("x1", x(at)); head.setAttribute("x2", x(at)); }
  };
}

function drawCurve(svg, curve, x, given, span, length, top) {
  const most = Math.max(2, ...curve.map(Math.abs)), y = v => top + CURVE / 2 - v / most * (CURVE / 2 - 4);
  add(svg, "line", { class: "zero", x1: x(0), x2: x(length), y1: y(0), y2: y(0) });
  add(svg, "text", { x: 2, y: top + 11 }, "human");
  add(svg, "text", { x: 2, y: top + CURVE - 4 }, "mach.");
  const points = curve.flatMap((v, i) => {
    const end = i === curve.length - 1 ? length : given + (i + 1) * span;
    return [`${x(given + i * span)},${y(v)}`, `${x(end)},${y(v)}`];
  });
  add(svg, "polyline", { class: "curve", points: points.join(" ") });
}
