// A small chart in SVG that is drawn whole in a millisecond or two, so that it can follow a slider: lines, bars,
// points and rules on two axes. It is as wide as its place, and drawn again when that changes.

import { svg } from "../tape.js";

const MARGIN = { left: 46, right: 12, top: 10, bottom: 40 };

/** Round numbers within a range, about `count` of them. */
export function ticks([low, high], count = 6) {
  const rough = (high - low) / count;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((factor) => factor * unit >= rough * 0.999) * unit;
  const made = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + 1e-9 * step; n++) made.push(Number((n * step).toPrecision(9)));
  return made;
}

/**
 * A chart in `place`. draw({x, y, lines, bars, points, spans, dots, rules}) draws it:
 *
 * x, y: {range, title, ticks?, format?}; lines: [{points: [[x, y], …], style, wide}]; bars: [{x, from, to, style,
 * outline, hatched, label}] one unit wide; points: [{x, y, style, shape}], a dot or a "diamond"; spans: upright
 * intervals [{x, from, to, style}]; dots: {points, style}, many small ones; rules: [{x} or {y}, style, label].
 * A `style` is that of a stopper: {colour, dash}, a CSS colour and an SVG dash pattern.
 *
 * `onX(value)` is told where on the x axis the pointer is pressed and dragged.
 */
export function chart(place, { height = 300, label, onX = null }) {
  const node = svg("svg", { class: "chart", role: "img", height, "aria-label": label });
  place.append(node);
  let shown = null;
  let width = 0;
  new ResizeObserver(() => {
    if (place.clientWidth === width || !shown) return;
    draw(shown);
  }).observe(place);

  if (onX) {
    node.classList.add("draggable");
    const tell = (event) => {
      const [low, high] = shown.x.range;
      const share = (event.clientX - node.getBoundingClientRect().left - MARGIN.left) / (width - MARGIN.left - MARGIN.right);
      onX(low + Math.min(1, Math.max(0, share)) * (high - low));
    };
    node.addEventListener("pointerdown", (event) => {
      node.setPointerCapture(event.pointerId);
      tell(event);
    });
    node.addEventListener("pointermove", (event) => {
      if (node.hasPointerCapture(event.pointerId)) tell(event);
    });
  }

  function draw(picture) {
    shown = picture;
    width = place.clientWidth;
    if (!width) return;
    node.setAttribute("width", width);
    const { x, y, lines = [], bars = [], points = [], spans = [], dots = null, rules = [] } = picture;
    const right = width - MARGIN.right;
    const bottom = height - MARGIN.bottom;
    const across = (value) => MARGIN.left + ((value - x.range[0]) / (x.range[1] - x.range[0])) * (right - MARGIN.left);
    const up = (value) => bottom - ((value - y.range[0]) / (y.range[1] - y.range[0])) * (bottom - MARGIN.top);
    const parts = [];
    const stroke = ({ colour, dash = "none" }, wide) => `stroke: ${colour}; stroke-width: ${wide}; stroke-dasharray: ${dash}`;

    for (const value of y.ticks ?? ticks(y.range)) {
      parts.push(svg("line", { class: "grid", x1: MARGIN.left, x2: right, y1: up(value), y2: up(value) }));
      parts.push(svg("text", { class: "tick", x: MARGIN.left - 6, y: up(value) + 4, "text-anchor": "end" }, (y.format ?? String)(value)));
    }
    const narrow = width < 480;
    const marked = x.ticks ? x.ticks.filter((_, index) => !narrow || x.ticks.length < 10 || index % 3 === 0) : ticks(x.range, narrow ? 5 : 10);
    for (const value of marked) {
      parts.push(svg("line", { class: "grid", x1: across(value), x2: across(value), y1: bottom, y2: bottom + 4 }));
      parts.push(svg("text", { class: "tick", x: across(value), y: bottom + 18, "text-anchor": "middle" }, (x.format ?? String)(value)));
    }
    parts.push(svg("text", { class: "axis", x: (MARGIN.left + right) / 2, y: height - 4, "text-anchor": "middle" }, x.title));
    parts.push(svg("line", { class: "base", x1: MARGIN.left, x2: right, y1: bottom, y2: bottom }));

    const unit = across(1) - across(0);
    if (dots) {
      const d = dots.points.map(([px, py]) => `M${across(px).toFixed(1)} ${up(py).toFixed(1)}h0`).join("");
      parts.push(svg("path", { class: "dots", d, style: `stroke: ${dots.style.colour}` }));
    }
    for (const { x: at, from, to, style } of spans) {
      parts.push(svg("line", { x1: across(at), x2: across(at), y1: up(from), y2: up(to), style: stroke(style, 3) }));
    }
    for (const { x: at, from, to, style, outline, hatched, label: words } of bars) {
      if (to <= from) continue;
      const half = unit * (outline ? 0.45 : 0.36);
      const box = { x: across(at) - half, width: 2 * half, y: up(to), height: up(from) - up(to) };
      const look = outline ? `fill: none; ${stroke(style, 2)}` : `fill: ${style.colour}`;
      parts.push(svg("rect", { ...box, style: look }));
      if (words) parts.push(svg("text", { x: across(at), y: up(to) - 5, "text-anchor": "middle" }, words));
      if (hatched) parts.push(svg("path", { class: "hatch", d: hatch(box) }));
    }
    for (const { x: at, y: level, style, label: words, strong } of rules) {
      const ends = at === undefined ? { x1: MARGIN.left, x2: right, y1: up(level), y2: up(level) } : { x1: across(at), x2: across(at), y1: MARGIN.top, y2: bottom };
      parts.push(svg("line", { class: "rule", ...ends, style: stroke(style, strong ? 2.5 : 1.5) }));
      if (words) parts.push(svg("text", { class: "tick", x: at === undefined ? right - 2 : across(at) + 4, y: at === undefined ? up(level) - 4 : MARGIN.top + 10, "text-anchor": at === undefined ? "end" : "start" }, words));
    }
    for (const { points: path, style, wide } of lines) {
      const d = path.map(([px, py], index) => `${index ? "L" : "M"}${across(px).toFixed(1)} ${up(py).toFixed(1)}`).join("");
      parts.push(svg("path", { class: "line", d, style: stroke(style, wide ? 4 : 2) }));
    }
    for (const { x: px, y: py, style, shape, name } of points) {
      const [cx, cy] = [across(px), up(py)];
      const attributes = { class: "point", style: `fill: ${style.colour}` };
      const dot =
        shape === "diamond"
          ? svg("path", { ...attributes, d: `M${cx} ${cy - 8}L${cx + 8} ${cy}L${cx} ${cy + 8}L${cx - 8} ${cy}Z` })
          : svg("circle", { ...attributes, cx, cy, r: 6 });
      if (name) dot.append(svg("title", {}, name));
      parts.push(dot);
    }
    node.replaceChildren(...parts);
  }
  return { node, draw };
}

/** Slanted strokes in a box, as a path: what a colour says is said by them too. */
function hatch({ x, y, width, height }) {
  let path = "";
  for (let offset = 6; offset < width + height; offset += 7) {
    const [x1, y1] = offset < height ? [x, y + offset] : [x + offset - height, y + height];
    const [x2, y2] = offset < width ? [x + offset, y] : [x + width, y + offset - width];
    path += `M${x1} ${y1}L${x2} ${y2}`;
  }
  return path;
}
