// One strip of tokens per lane. The value is lines of JSON that only grow during a race (see
// components/strips.py), so only what is new since the last look is read and drawn.
// Model text is only ever set as textContent, never as HTML.

const root = element.querySelector(".strips");
let seen = "";
let lanes = [];

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function begin(labels) {
  lanes = labels.map((label, number) => {
    const section = make("section", "lane");
    section.dataset.lane = number;
    section.setAttribute("aria-label", `lane ${label}`);
    const head = make("header");
    const title = make("h2", "", label);
    const numbers = make("div", "numbers");
    const strip = make("div", "strip");
    strip.tabIndex = 0;
    strip.setAttribute("role", "group");
    strip.setAttribute("aria-label", `tokens of ${label}; arrow keys go through them`);
    const details = make("p", "details");
    details.setAttribute("aria-live", "polite");
    head.append(title, numbers);
    section.append(head, strip, details);
    follow(strip, details);
    return { section, numbers, strip };
  });
  root.replaceChildren(...lanes.map((lane) => lane.section));
}

function drawRound({ lane, round, tokens, stop }) {
  const { strip } = lanes[lane];
  const atEnd = strip.scrollHeight - strip.scrollTop - strip.clientHeight < 40;
  const nodes = tokens.map(([kind, text, words], index) => {
    const node = make("span", "token", text);
    Object.assign(node.dataset, { lane, round, index, kind });
    if (text.includes("\n")) node.classList.add("newline");
    if (!text.trim()) node.classList.add("blank");
    node.title = words;
    return node;
  });
  if (stop) {
    const [reason, words] = stop;
    const mark = make("span", "stop");
    Object.assign(mark.dataset, { lane, round, reason });
    mark.title = words;
    // It stands after the last drafted token, before the one that the target adds.
    const emitted = nodes.length && ["correction", "bonus", "plain"].includes(tokens.at(-1)[0]);
    nodes.splice(nodes.length - (emitted ? 1 : 0), 0, mark);
  }
  strip.append(...nodes);
  if (atEnd) strip.scrollTop = strip.scrollHeight;
}

function drawNumbers({ heads, same }) {
  heads.forEach((metrics, number) => {
    const nodes = metrics.map(([metric, text, words]) => {
      const node = make("span", "number", text);
      node.dataset.metric = metric;
      node.title = words;
      return node;
    });
    if (same[number] !== null) {
      const node = make("span", "number same", same[number] ? "✓ same text" : "≠ other text");
      node.title = same[number]
        ? "token for token the text that the target writes alone, as far as both got"
        : "not the text that the target writes alone";
      nodes.push(node);
    }
    lanes[number].numbers.replaceChildren(...nodes);
  });
}

// Hovering, clicking or the arrow keys pick a token; the line under the strip says what happened to it.
function follow(strip, details) {
  let picked = null;
  const pick = (node) => {
    if (!node) return;
    picked?.classList.remove("picked");
    picked = node;
    picked.classList.add("picked");
    details.textContent = picked.title;
  };
  const markAt = (event) => event.target.closest(".token, .stop");
  strip.addEventListener("pointerover", (event) => pick(markAt(event)));
  strip.addEventListener("click", (event) => pick(markAt(event)));
  strip.addEventListener("keydown", (event) => {
    const step = {
      ArrowRight: () => picked?.nextElementSibling ?? (picked ? null : strip.firstElementChild),
      ArrowLeft: () => picked?.previousElementSibling,
      Home: () => strip.firstElementChild,
      End: () => strip.lastElementChild,
    }[event.key];
    if (!step) return;
    event.preventDefault();
    pick(step());
    picked?.scrollIntoView({ block: "nearest" });
  });
}

function draw() {
  const text = props.value || "";
  if (!seen || !text.startsWith(seen)) {
    seen = "";
    lanes = [];
    root.replaceChildren();
  }
  let numbers = null;
  for (const line of text.slice(seen.length).split("\n")) {
    if (!line) continue;
    const entry = JSON.parse(line);
    if (entry.race) begin(entry.lanes);
    else if (entry.heads) numbers = entry;
    else drawRound(entry);
  }
  if (numbers) drawNumbers(numbers);
  seen = text;
}

watch("value", draw);
draw();
