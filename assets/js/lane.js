// A lane's card: its numbers, what it is doing, its tape of tokens, and its text so far.

import { drawable } from "./characters.js";
import { make, setText } from "./make.js";
import { METRICS } from "./metrics.js";
import { BARE_HEIGHT, CHART, GAP, HEIGHT, drawRound, svg } from "./tape.js";
import { t } from "./text.js";
import { columnsOf, draftsNothing, pieceAt, textStart, titleOf } from "./trace.js";
import { differenceWords, phaseWords } from "./words.js";

const HEAD_METRICS = ["speedup", "tokens_per_s", "acceptance_rate", "draft_length", "block_efficiency"];
const PHASES = ["draft", "compare", "stop", "verify", "judge", "rewind", "emit"];
// What a frame may put into a tape, so that a jump to the end of a long race keeps no frame waiting: a
// token that is drawn for the first time costs more than one that only comes back.
const BUDGET = 40;
const [DRAW_COST, RETURN_COST] = [2, 1];

/**
 * A lane's view. `pick(lane, round, column)` is called with indices when the reader points at a token,
 * `choose(lane)` when the lane is chosen to be stepped through.
 *
 * Returns {node, show(lanePicture, growing, inSteps), followEnd(), showNumbers(metrics, baseline), rescale(entropyMax), light(position),
 * reveal(position), columnAt(round, column)}; show returns false where more is to be drawn in the next frame.
 */
export function laneView(trace, number, { pick, choose }) {
  const lane = trace.lanes[number];
  const bare = draftsNothing(lane);
  const node = make("section", { className: "lane" });
  node.dataset.lane = number;
  node.setAttribute("aria-label", t("player.lane", { label: titleOf(lane) }));

  const head = make("header");
  const title = make("button", { className: "lane-title" }, titleOf(lane));
  title.type = "button";
  title.title = t("player.step_through");
  title.addEventListener("click", () => choose(number));
  const numbers = make("div", { className: "numbers" });
  head.append(title, numbers);

  const doing = make("div", { className: "doing" });
  const chips = phaseChips(bare);
  const narration = make("p", { className: "narration" });
  doing.append(chips.node, narration);

  const row = make("div", { className: "tape-row" });
  const tape = make("div", { className: "tape" });
  tape.setAttribute("role", "group");
  tape.setAttribute("aria-label", t("player.tape", { label: titleOf(lane) }));
  tape.tabIndex = 0;
  tape.style.height = `${(bare ? BARE_HEIGHT : HEIGHT) + 11}px`;
  const entropyAxis = bare ? null : axis("right");
  row.append(tape);
  if (!bare) row.prepend(axis("left").node);
  if (!bare) row.append(entropyAxis.node);

  const written = make("p", { dir: "auto" });
  const textBox = make("div", { className: "written", role: "group", tabIndex: 0 }, written); // keeps to its end by CSS
  textBox.setAttribute("aria-label", t("player.written", { label: titleOf(lane) }));
  const top = make("div", { className: "top" });
  top.append(head, doing);
  node.append(top, row, textBox);

  const rounds = []; // drawn, by index; kept when the time goes back, to be shown again
  let shown = 0; // how many of them are in the tape
  let partial = -1; // the one that is not shown whole
  let entropyMax = 2;
  let content = 0; // width of what is in the tape
  let tabStop = null;
  let following = true;
  let scrolledTo = 0;

  function at(index) {
    rounds[index] ??= drawRound(lane, index, entropyMax);
    return rounds[index];
  }

  function show(picture, growing, inSteps) {
    const want = picture.ended + (picture.current ? 1 : 0);
    while (shown > want) rounds[--shown].node.remove();
    if (partial >= 0 && partial !== picture.ended) rounds[partial].show(null);
    partial = -1;
    let budget = BUDGET;
    while (shown < want && budget > 0) {
      const cost = rounds[shown] ? RETURN_COST : DRAW_COST;
      const drawn = at(shown++);
      budget -= cost * drawn.columns.length;
      drawn.show(null);
      tape.append(drawn.node);
    }
    const whole = shown === want;
    if (picture.current && whole) {
      partial = picture.ended;
      rounds[partial].show(picture.current, inSteps);
    }
    showText(whole ? picture.written : textStart(lane, shown));
    showPhase(picture, growing);
    if (!tabStop?.isConnected) setTabStop(rounds[0]?.columns[0]?.node);
    return whole;
  }

  /** Keep the tape's end in sight. Apart from `show`, so that a frame lays the page out once for all lanes. */
  function followEnd() {
    let width = 0;
    for (let index = 0; index < shown; index++) width += rounds[index].width + GAP;
    if (width === content || !tape.clientWidth) return; // what is out of sight cannot be scrolled
    content = width;
    if (!following) return;
    tape.scrollLeft = content;
    scrolledTo = tape.scrollLeft;
  }

  tape.addEventListener(
    "scroll",
    () => {
      if (Math.abs(tape.scrollLeft - scrolledTo) < 2) return;
      scrolledTo = tape.scrollLeft;
      following = tape.scrollLeft + tape.clientWidth >= content - 60;
    },
    { passive: true }
  );

  function showText(count) {
    while (written.childElementCount > count) written.lastElementChild.remove();
    correctText();
    let next = written.childElementCount;
    if (next === count) return;
    for (let index = roundOf(next); next < count; index++) {
      const columns = columnsOf(lane, index).filter(({ kind }) => kind !== "rejected" && kind !== "discarded");
      for (const column of columns.slice(next - textStart(lane, index))) {
        if (next++ === count) break;
        const position = textStart(lane, index) + column.offset;
        const span = make("span", { className: column.kind }, drawable(pieceAt(lane, position, column.token)));
        span.dataset.position = position;
        written.append(span);
      }
      next = Math.min(next, count);
    }
  }

  /** While a text grows, its last pieces may change: those of bytes that turn out to be no characters. */
  function correctText() {
    for (let span = written.lastElementChild; span; span = span.previousElementSibling) {
      const piece = lane.pieces?.[span.dataset.position];
      if (piece === undefined || (piece && drawable(piece) === span.textContent)) return;
      setText(span, drawable(piece));
    }
  }

  function roundOf(position) {
    let index = 0;
    while (textStart(lane, index + 1) <= position) index++;
    return index;
  }

  function showPhase({ ended, current, done }, growing) {
    chips.show(current?.phase.name);
    const round = lane.rounds[ended];
    const words = current ? phaseWords(lane, round, current.phase, trace.verification)
      : done && ended && !growing ? t("player.lane_done", { rounds: ended })
      : "";
    setText(narration, words);
    doing.classList.toggle("idle", !current);
    doing.dataset.verdict = verdictOf(round, current);
  }

  function showNumbers(metrics, isBaseline) {
    const names = isBaseline ? HEAD_METRICS.slice(0, 2) : HEAD_METRICS;
    const items = names.filter((name) => metrics[name] !== null).map((name) => {
      const { write, short } = METRICS[name];
      return [name, (short ?? write)(metrics[name]), `${t(`player.metric.${name}`)}: ${t(`player.about.${name}`)}`];
    });
    if (metrics.same_text !== null && !isBaseline) {
      const same = metrics.same_text;
      const text = same ? t("player.same") : differenceWords(lane.text_difference, trace.dtype);
      items.push(["same_text", text, t("player.about.same_text")]);
    }
    // The first token of every lane is one token; that is worth saying only of a lane that wrote no more.
    if (metrics.timing_reliable === false && (metrics.timing_note !== "one_token" || lane.token_ids.length === 1)) {
      items.push(["timing_reliable", `⚠ ${t("player.timing.unreliable")}`, t(`player.timing.${metrics.timing_note}`)]);
    }
    while (numbers.childElementCount > items.length) numbers.lastElementChild.remove();
    items.forEach(([name, text, about], index) => {
      const item = numbers.children[index] ?? numbers.appendChild(make("span", { className: "number" }));
      setText(item, text);
      if (item.dataset.metric === name && name !== "same_text" && name !== "timing_reliable") return;
      item.dataset.metric = name;
      item.dataset.same = name === "same_text" ? metrics.same_text : "";
      item.title = about;
    });
  }

  function rescale(most) {
    if (most === entropyMax) return;
    entropyMax = most;
    rounds.forEach((drawn) => drawn.rescale(most));
    entropyAxis?.label(most);
  }

  // Pointing at a token, or going to it by key, picks it.
  function found(target) {
    const group = target.closest?.(".column, .stop");
    const drawn = group && rounds[Number(group.parentNode.dataset.round)];
    if (!drawn) return null;
    const column = drawn.columns[Number(group.dataset.column ?? drawn.round.drafted.length - 1)];
    return column && { round: drawn.round, roundIndex: rounds.indexOf(drawn), column };
  }

  function setTabStop(group) {
    tabStop?.setAttribute("tabindex", "-1");
    tabStop = group ?? null;
    tabStop?.setAttribute("tabindex", "0");
    tape.tabIndex = tabStop ? -1 : 0;
  }

  tape.addEventListener("pointerover", (event) => {
    const hit = found(event.target);
    if (hit) pick(number, hit, "hover");
  });
  written.addEventListener("pointerover", ({ target }) => {
    const column = columnsAt(Number(target.dataset.position ?? -1)).find(({ kind }) => !["rejected", "discarded"].includes(kind));
    if (column) pick(number, found(column.node), "hover");
  });
  tape.addEventListener("click", (event) => {
    const hit = found(event.target);
    if (!hit) return;
    setTabStop(hit.column.node);
    hit.column.node.focus({ preventScroll: true });
    pick(number, hit, "click");
  });
  tape.addEventListener("focusin", (event) => {
    const hit = found(event.target);
    if (hit) pick(number, hit, "focus");
  });
  tape.addEventListener("keydown", (event) => {
    if (event.shiftKey || event.ctrlKey || event.metaKey || event.altKey) return;
    const columns = [...tape.querySelectorAll('.column:not([data-state="absent"])')];
    const here = columns.indexOf(event.target.closest(".column"));
    const goal = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: columns.length - 1 }[event.key];
    if (goal === undefined || here < 0) return;
    event.preventDefault();
    const next = columns[goal];
    if (!next) return;
    setTabStop(next);
    next.focus({ preventScroll: true });
    bringIntoView(next);
  });

  function bringIntoView(group) {
    const column = found(group);
    const left = rounds.slice(0, column.roundIndex).reduce((sum, drawn) => sum + drawn.width + GAP, 0);
    const right = left + column.column.right;
    const { scrollLeft, clientWidth } = tape;
    if (right + 80 > scrollLeft + clientWidth || right - 120 < scrollLeft) {
      tape.scrollLeft = right - clientWidth / 2;
      scrolledTo = tape.scrollLeft;
      following = scrolledTo + clientWidth >= content - 60;
    }
  }

  function columnsAt(position) {
    if (position < 0 || !shown) return [];
    const index = Math.min(roundOfShown(position), shown - 1);
    return [index - 1, index, index + 1]
      .filter((number) => number >= 0 && number < shown)
      .flatMap((number) => rounds[number].columns)
      .filter((column) => column.position === position);
  }

  function roundOfShown(position) {
    let index = 0;
    while (index + 1 < shown && textStart(lane, index + 1) <= position) index++;
    return index;
  }

  let lit = [];
  function light(position, only = null) {
    lit.forEach((element) => element.classList.remove("lit", "picked"));
    lit = columnsAt(position).map(({ node }) => node);
    const span = written.children[position];
    if (span) lit.push(span);
    lit.forEach((element) => element.classList.add("lit"));
    only?.classList.add("picked");
    if (only) lit.push(only);
  }

  function reveal(position) {
    const [column] = columnsAt(position);
    if (column) bringIntoView(column.node);
  }

  entropyAxis?.label(entropyMax);
  return { node, show, followEnd, showNumbers, rescale, light, reveal, drawn: at };
}

function verdictOf(round, current) {
  if (!current) return "";
  const { name, index } = current.phase;
  const token = round.drafted[index];
  if (name === "compare" && token.threshold !== null && token.score !== null) {
    return token.score < token.threshold ? "below" : "above";
  }
  if (name === "judge") return index < round.accepted ? "accepted" : "rejected";
  return name;
}

function phaseChips(bare) {
  const node = make("ol", { className: "phases" });
  node.setAttribute("aria-hidden", "true"); // the narration beside it says the same in words
  const names = bare ? ["verify", "emit"] : PHASES;
  const chips = Object.fromEntries(names.map((name) => [name, make("li", {}, t(`player.phase_name.${name}`))]));
  node.append(...Object.values(chips));
  let lit = null;
  const show = (name) => {
    if (lit === chips[name]) return;
    lit?.classList.remove("now");
    lit = chips[name];
    lit?.classList.add("now");
  };
  return { node, show };
}

// The scales beside a tape: bound, score, λ and β from 0 to 1 on the left, entropy in nats on the right.
function axis(side) {
  const node = svg("svg", { class: `tape-axis ${side}`, width: 38, height: HEIGHT, "aria-hidden": "true" });
  const x = side === "left" ? 35 : 4;
  const heights = [CHART.top + 5, (CHART.top + CHART.bottom) / 2 + 4, CHART.bottom + 3];
  const ticks = heights.map((y) => svg("text", { x, y, class: "tick" }));
  const name = svg("text", { x, y: CHART.top - 10, class: "name" }, side === "left" ? t("player.axis_bound") : t("player.axis_entropy"));
  node.append(name, ...ticks);
  const label = (most) => [most, most / 2, 0].forEach((value, index) => setText(ticks[index], String(value)));
  label(1);
  return { node, label };
}
