// A piano roll, with the form above it and the critic's curve below it.
const SVG_NAMESPACE = "http://www.w3.org/2000/svg";
const BLACK_PITCH_CLASSES = new Set([1, 3, 6, 8, 10]);
// Lengths in pixels.
const LEFT = 34;
const RIGHT = 4;
const TOP = 4;
const KEY_HEIGHT = 12;
const SECTION_HEIGHT = 15;
const BAR_HEIGHT = 10;
const FORM_GAP = 2;
const FORM_HEIGHT = KEY_HEIGHT + SECTION_HEIGHT + BAR_HEIGHT + 2 * FORM_GAP;
const CHARACTER_WIDTH = 8;
const RELATION_SIGNS = { exact: "=", varied: "~", transposed: "^", rhythm: ":", new: ".", silent: "-" };
const AXIS_HEIGHT = 18;
const CURVE_HEIGHT = 46;
const MIN_QUARTER_WIDTH = 7;
const MIN_BAR_LABEL_DISTANCE = 20;

function addElement(parent, name, attributes, text) {
  const element = document.createElementNS(SVG_NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

// Draw a piece into a figure, from a lowest to a highest pitch (by default a little beyond its notes). Return functions that
// move the playhead to a time in quarters, or hide it for null (`move`), and that return the time in quarters and the pitch
// at a place of the window, in pixels (`findQuarter`, `findPitch`); and one that marks notes (`drawBox`). `rects` are the rectangles of the notes.
export function drawRoll(figure, piece, { rowHeight = 5, quarterWidth = MIN_QUARTER_WIDTH, range } = {}) {
  const { notes, quarters, bars, form, time_signatures: timeSignatures = "" } = piece;
  const { prompt_quarters: promptQuarters = 0, window_log_odds: logOdds = [] } = piece;
  const pitches = notes.map(note => note[2]);
  const [lowest, highest] = range ?? [Math.min(...pitches, 57) - 2, Math.max(...pitches, 75) + 2];
  const length = Math.max(quarters, 4);
  const minWidth = LEFT + length * quarterWidth;
  const width = Math.max(figure.clientWidth || 700, minWidth);
  const x = quarter => LEFT + quarter / length * (width - LEFT - RIGHT);
  const top = TOP + (form ? FORM_HEIGHT : 0);
  const y = pitch => top + (highest - pitch) * rowHeight;
  const bottom = y(lowest) + rowHeight;
  const height = bottom + AXIS_HEIGHT + (logOdds.length ? CURVE_HEIGHT : 0);

  const svg = document.createElementNS(SVG_NAMESPACE, "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("role", "img");
  const label = `Piano roll: ${notes.length} notes in ${bars.length} bars of ${timeSignatures}`;
  svg.setAttribute("aria-label", form ? `${label}. ${form.description}` : label);
  svg.style.minWidth = `${minWidth}px`;
  for (let pitch = lowest; pitch <= highest; pitch++) {
    if (BLACK_PITCH_CLASSES.has((pitch + 120) % 12)) {
      addElement(svg, "rect", { class: "black", x: LEFT, y: y(pitch), width: width - LEFT - RIGHT, height: rowHeight });
    }
    if (pitch % 12 === 0) addElement(svg, "text", { x: 2, y: y(pitch) + rowHeight }, `C${pitch / 12 - 1}`);
  }
  drawBars(svg, x, bars, top, bottom);
  if (form) drawForm(svg, form, quarter => x(Math.min(quarter, length)));
  addElement(svg, "text", { x: 2, y: bottom + 13 }, timeSignatures.split(",")[0]);
  const rects = notes.map(([start, duration, pitch, part]) => addElement(svg, "rect", {
    class: start < promptQuarters ? "prompt" : `part${part % 4}`,
    x: x(start),
    y: y(pitch),
    width: Math.max(1.5, x(start + duration) - x(start) - 1),
    height: rowHeight - 0.6,
    rx: 1,
  }));
  if (promptQuarters && promptQuarters < length) {
    const position = x(promptQuarters);
    addElement(svg, "line", { class: "prompt-end", x1: position, x2: position, y1: top, y2: bottom });
  }
  if (logOdds.length) drawCurve(svg, piece, x, length, bottom + AXIS_HEIGHT);
  const playhead = addElement(svg, "line", { class: "playhead", x1: 0, x2: 0, y1: top, y2: bottom, visibility: "hidden" });
  figure.replaceChildren(svg);
  const move = quarter => {
    playhead.setAttribute("visibility", quarter === null ? "hidden" : "visible");
    if (quarter === null) return;
    const position = x(Math.min(quarter, length)); // the sound rings on after the last note
    playhead.setAttribute("x1", position);
    playhead.setAttribute("x2", position);
  };
  const findQuarter = clientX => {
    const { left, width: shownWidth } = svg.getBoundingClientRect();
    const position = (clientX - left) * width / shownWidth;
    return Math.max(0, Math.min(length, (position - LEFT) / (width - LEFT - RIGHT) * length));
  };
  const findPitch = clientY => {
    const { top: shownTop, height: shownHeight } = svg.getBoundingClientRect();
    return highest - Math.floor(((clientY - shownTop) * height / shownHeight - top) / rowHeight);
  };
  const drawBox = (from, to, low, high) => addElement(svg, "rect", {
    class: "box", x: x(from), y: y(high), width: Math.max(0, x(to) - x(from)), height: y(low) + rowHeight - y(high),
  });
  return { move, findQuarter, findPitch, drawBox, rects };
}

// `bars` holds where bars begin, in quarters.
function drawBars(svg, x, bars, top, bottom) {
  const barWidth = bars.length > 1 ? (x(bars.at(-1)) - x(bars[0])) / (bars.length - 1) : MIN_BAR_LABEL_DISTANCE;
  const barsPerLabel = [1, 2, 4, 8, 16].find(n => n * barWidth > MIN_BAR_LABEL_DISTANCE) ?? 32;
  bars.forEach((bar, i) => {
    const position = x(bar);
    addElement(svg, "line", { class: "bar", x1: position, x2: position, y1: top, y2: bottom });
    if (i % barsPerLabel === 0) addElement(svg, "text", { x: position + 3, y: bottom + 13 }, i + 1);
  });
}

// Keys, sections with letters, and bars with the signs of their relations to earlier ones; all times in quarters.
function drawForm(svg, form, x) {
  const hasRoom = (begin, end, text) => x(end) - x(begin) >= CHARACTER_WIDTH * text.length;
  const addBox = (begin, end, y, height, className, title) => {
    const attributes = { class: className, x: x(begin), y, width: Math.max(0, x(end) - x(begin) - 1), height };
    addElement(addElement(svg, "rect", attributes), "title", {}, title);
  };
  const addLabel = (begin, end, y, className, text) => {
    if (hasRoom(begin, end, text)) {
      addElement(svg, "text", { class: className, x: (x(begin) + x(end)) / 2, y, "text-anchor": "middle" }, text);
    }
  };
  form.keys.forEach(([begin, name], i) => {
    const end = form.keys[i + 1]?.[0] ?? form.bars.at(-1);
    if (hasRoom(begin, end, name)) addElement(svg, "text", { x: x(begin), y: TOP + KEY_HEIGHT - 3 }, name);
  });
  const sectionTop = TOP + KEY_HEIGHT;
  for (const [begin, end, name, colour] of form.sections) {
    addBox(begin, end, sectionTop, SECTION_HEIGHT, `form${colour}`, `Section ${name}`);
    addLabel(begin, end, sectionTop + SECTION_HEIGHT - 3, "section", name);
  }
  const barTop = sectionTop + SECTION_HEIGHT + FORM_GAP;
  form.relations.forEach((relation, i) => {
    const [begin, end] = [form.bars[i], form.bars[i + 1]];
    addBox(begin, end, barTop, BAR_HEIGHT, relation || "open", form.hints[i]);
    if (relation) addLabel(begin, end, barTop + BAR_HEIGHT - 2, `sign ${relation}`, RELATION_SIGNS[relation]);
  });
  for (const begin of form.phrases) {
    const position = x(begin);
    addElement(svg, "line", { class: "phrase", x1: position, x2: position, y1: barTop - 4, y2: barTop + BAR_HEIGHT });
  }
}

// A step for each window; the first window starts where the prompt ends.
function drawCurve(svg, piece, x, length, top) {
  const { window_log_odds: logOdds, window_quarters: windowQuarters = 8, prompt_quarters: promptQuarters = 0 } = piece;
  const highest = Math.max(2, ...logOdds.map(Math.abs));
  const y = value => top + CURVE_HEIGHT / 2 - value / highest * (CURVE_HEIGHT / 2 - 4);
  addElement(svg, "line", { class: "zero", x1: x(0), x2: x(length), y1: y(0), y2: y(0) });
  addElement(svg, "text", { x: 2, y: top + 11 }, "human");
  addElement(svg, "text", { x: 2, y: top + CURVE_HEIGHT - 4 }, "mach.");
  const points = logOdds.flatMap((value, i) => {
    const start = promptQuarters + i * windowQuarters;
    const end = i === logOdds.length - 1 ? length : start + windowQuarters;
    return [`${x(start)},${y(value)}`, `${x(end)},${y(value)}`];
  });
  addElement(svg, "polyline", { class: "curve", points: points.join(" ") });
}
