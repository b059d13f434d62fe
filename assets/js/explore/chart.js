// @ts-check
// A small SVG chart: lines, bars, points and rules on two axes. It is redrawn as a whole within a millisecond or two,
// so it can follow a slider. It fills the width of its place, and is redrawn when that width changes.

import { svg } from "../svg.js";

const NARROW = 480; // pixels
const LABEL = 60; // pixels: the width reserved for a rule's label
const MARGIN = { left: 46, right: 12, top: 10, bottom: 40 };

/** Return about `count` round numbers within a range. */
export function ticks([low, high], count = 6) {
  const rough = (high - low) / count;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * ([1, 2, 2.5, 5].find((factor) => factor * unit >= rough * 0.999) ?? 10);
  const values = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + 1e-9 * step; n++)
    values.push(Number((n * step).toPrecision(9)));
  return values;
}

/**
 * Put a chart into `place`. Return {node, draw}; draw(picture) draws a picture, which may have:
 *
 *     x, y    the axes, {range, title, ticks?, format?}
 *     lines   [{points: [[x, y], …], style, wide, thin}], clipped to the plot
 *     bars    [{x, from, to, style, outline, hatched, label}], one unit wide
 *     points  [{x, y, style, shape, name}], a dot or a "diamond"
 *     spans   vertical intervals [{x, from, to, style}]
 *     dots    many small points, {points, style}
 *     rules   lines across the plot, [{x or y, style, label, strong}]
 *     marks   places on the x axis, [{x, label, name}], drawn as a dot without a label
 *
 * A `style` is {colour, dash}: a CSS colour and an SVG dash pattern. `onX(value)` is called with the value on the x
 * axis where the pointer is pressed or dragged.
 * @param {HTMLElement} place
 * @param {{ height?: number, label: string, onX?: (value: number) => void }} options
 */
export function chart(place, { height = 300, label, onX }) {
  const node = svg("svg", { class: "chart", role: "img", height, "aria-label": label });
  place.append(node);
  let shown = null;
  /** @type {any} */
  let scale = null;

  function draw(picture) {
    shown = picture;
    const width = place.clientWidth;
    scale = scaleOf(picture, width, height);
    if (!width) return;
    node.setAttribute("width", String(width));
    node.replaceChildren(...drawAxes(picture, scale), ...drawContent(picture, scale));
  }

  new ResizeObserver(() => {
    if (shown && place.clientWidth !== scale.width) draw(shown);
  }).observe(place);
  if (onX) whenDragged(node, (x) => scale && onX(scale.valueAt(x)));
  return { node, draw };
}

/** Call `act` with the pointer's distance from a node's left edge whenever it is pressed or dragged. */
function whenDragged(node, act) {
  node.classList.add("draggable");
  const report = ({ clientX }) => act(clientX - node.getBoundingClientRect().left);
  node.addEventListener("pointerdown", (event) => {
    node.setPointerCapture(event.pointerId);
    report(event);
  });
  node.addEventListener("pointermove", (event) => {
    if (node.hasPointerCapture(event.pointerId)) report(event);
  });
}

/** Return where values are in a chart of this size: `across` and `up` give pixels, `valueAt` is the inverse of
 * `across`. */
function scaleOf({ x, y }, width, height) {
  const { left, top } = MARGIN;
  const [right, bottom] = [width - MARGIN.right, height - MARGIN.bottom];
  const [low, high] = x.range;
  const [least, most] = y.range;
  const across = (value) => left + ((value - low) / (high - low)) * (right - left);
  const up = (value) => bottom - ((value - least) / (most - least)) * (bottom - top);
  const valueAt = (pixels) => low + Math.min(1, Math.max(0, (pixels - left) / (right - left))) * (high - low);
  return { width, height, left, right, top, bottom, across, up, valueAt };
}

function drawAxes({ x, y }, { width, height, left, right, bottom, across, up }) {
  const tickUp = (value) => [
    svg("line", { class: "grid", x1: left, x2: right, y1: up(value), y2: up(value) }),
    svg(
      "text",
      { class: "tick", x: left - 6, y: up(value) + 4, "text-anchor": "end" },
      (y.format ?? String)(value),
    ),
  ];
  const tickAcross = (value) => [
    svg("line", { class: "grid", x1: across(value), x2: across(value), y1: bottom, y2: bottom + 4 }),
    labelBelow((x.format ?? String)(value), across(value), bottom, width < NARROW),
  ];
  return [
    ...(y.ticks ?? ticks(y.range)).flatMap(tickUp),
    ...ticksAcross(x, width < NARROW).flatMap(tickAcross),
    svg("text", { class: "axis", x: (left + right) / 2, y: height - 4, "text-anchor": "middle" }, x.title),
    svg("line", { class: "base", x1: left, x2: right, y1: bottom, y2: bottom }),
  ];
}

/** Return a tick's label below the axis; a narrow chart has one word per line. */
function labelBelow(label, x, bottom, narrow) {
  const lines = narrow ? label.split(" ") : [label];
  const parts = lines.map((words, line) => svg("tspan", { x, y: bottom + 18 + 13 * line }, words));
  const node = svg("text", { class: "tick", "text-anchor": "middle" });
  node.append(...parts);
  return node;
}

/** Return the ticks of the x axis; a narrow chart keeps every third of ten or more. */
function ticksAcross({ range, ticks: fixedTicks }, narrow) {
  if (!fixedTicks) return ticks(range, narrow ? 5 : 10);
  return fixedTicks.filter((_, index) => !narrow || fixedTicks.length < 10 || index % 3 === 0);
}

function drawContent(picture, scale) {
  const { lines = [], bars = [], points = [], spans = [], dots = null, rules = [], marks = [] } = picture;
  return [
    ...(dots ? [drawDots(dots, scale)] : []),
    ...spans.map((span) => drawSpan(span, scale)),
    ...bars.filter(({ from, to }) => to > from).flatMap((bar) => drawBar(bar, scale)),
    ...rules.flatMap((rule) => drawRule(rule, scale)),
    ...drawLines(lines, scale),
    ...marks.map((mark) => drawMark(mark, scale)),
    ...points.map((point) => drawPoint(point, scale)),
  ];
}

const stroke = ({ colour, dash = "none" }, width) =>
  `stroke: ${colour}; stroke-width: ${width}; stroke-dasharray: ${dash}`;

function drawDots({ points, style }, { across, up }) {
  const d = points.map(([x, y]) => `M${across(x).toFixed(1)} ${up(y).toFixed(1)}h0`).join("");
  return svg("path", { class: "dots", d, style: `stroke: ${style.colour}` });
}

function drawSpan({ x, from, to, style }, { across, up }) {
  return svg("line", { x1: across(x), x2: across(x), y1: up(from), y2: up(to), style: stroke(style, 3) });
}

function drawBar({ x, from, to, style, outline, hatched, label }, { across, up }) {
  const half = (across(1) - across(0)) * (outline ? 0.45 : 0.36);
  const box = { x: across(x) - half, width: 2 * half, y: up(to), height: up(from) - up(to) };
  const look = outline ? `fill: none; ${stroke(style, 2)}` : `fill: ${style.colour}`;
  /** @type {SVGElement[]} */
  const parts = [svg("rect", { ...box, style: look })];
  if (label) parts.push(svg("text", { x: across(x), y: up(to) - 5, "text-anchor": "middle" }, label));
  if (hatched) parts.push(svg("path", { class: "hatch", d: hatch(box) }));
  return parts;
}

function drawRule({ x, y, style, label, strong }, { left, right, top, bottom, across, up }) {
  const isLevel = x === undefined;
  const ends =
    isLevel ?
      { x1: left, x2: right, y1: up(y), y2: up(y) }
    : { x1: across(x), x2: across(x), y1: top, y2: bottom };
  /** @type {SVGElement[]} */
  const parts = [svg("line", { class: "rule", ...ends, style: stroke(style, strong ? 2.5 : 1.5) })];
  const nearRight = !isLevel && across(x) > right - LABEL;
  const place =
    isLevel ? { x: right - 2, y: up(y) - 4, "text-anchor": "end" }
    : nearRight ? { x: across(x) - 4, y: top + 10, "text-anchor": "end" }
    : { x: across(x) + 4, y: top + 10, "text-anchor": "start" };
  if (label) parts.push(svg("text", { class: "tick", ...place }, label));
  return parts;
}

/** Draw lines in a nested SVG, which clips them to the plot. */
function drawLines(lines, scale) {
  if (!lines.length) return [];
  const [x, y, width, height] = [0, scale.top - 4, scale.width, scale.bottom - scale.top + 8];
  const frame = svg("svg", { x, y, width, height, viewBox: `${x} ${y} ${width} ${height}` });
  frame.append(...lines.map((line) => drawLine(line, scale)));
  return [frame];
}

function drawLine({ points, style, wide, thin }, { across, up }) {
  const command = ([x, y], index) => `${index ? "L" : "M"}${across(x).toFixed(1)} ${up(y).toFixed(1)}`;
  const width =
    wide ? 4
    : thin ? 1.2
    : 2;
  return svg("path", { class: "line", d: points.map(command).join(""), style: stroke(style, width) });
}

function drawMark({ x, label, name }, { across, bottom }) {
  const at = across(x);
  const mark = svg("g", { class: "mark" });
  mark.append(svg("title", {}, name));
  if (!label) {
    mark.append(svg("circle", { cx: at, cy: bottom, r: 5 }));
    return mark;
  }
  mark.append(
    svg("path", { d: `M${at} ${bottom}l-4 -8h8Z` }),
    svg("text", { class: "tick", x: at, y: bottom - 11, "text-anchor": "middle" }, label),
  );
  return mark;
}

function drawPoint({ x, y, style, shape, name }, { across, up }) {
  const [cx, cy] = [across(x), up(y)];
  const look = { class: "point", style: `fill: ${style.colour}` };
  const node =
    shape === "diamond" ?
      svg("path", { ...look, d: `M${cx} ${cy - 8}L${cx + 8} ${cy}L${cx} ${cy + 8}L${cx - 8} ${cy}Z` })
    : svg("circle", { ...look, cx, cy, r: 6 });
  if (name) node.append(svg("title", {}, name));
  return node;
}

/** Return slanted strokes across a box, as a path, so that a bar differs by more than its colour. */
function hatch({ x, y, width, height }) {
  let path = "";
  for (let offset = 6; offset < width + height; offset += 7) {
    const [x1, y1] = offset < height ? [x, y + offset] : [x + offset - height, y + height];
    const [x2, y2] = offset < width ? [x + offset, y] : [x + width, y + offset - width];
    path += `M${x1} ${y1}L${x2} ${y2}`;
  }
  return path;
}
