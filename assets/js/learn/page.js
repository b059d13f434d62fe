// @ts-check
// The Learn page: five steps, each with an interactive toy for the reader's own numbers or for recorded races, and the
// findings of a study. Everything is computed in the browser.

import { make } from "../make.js";
import { whenSeen } from "../seen.js";
import { namePlace, placeNamed } from "../address.js";
import { addSheets } from "../sheets.js";
import { t } from "../text.js";
import { whenRecoloured } from "../theme.js";
import { bound } from "./bound.js";
import { draftAndVerify } from "./draft_verify.js";
import { redraw } from "./figure.js";
import { minimum } from "./minimum.js";
import { sharedValues } from "./parts.js";
import { pays } from "./pays.js";
import { recordings } from "./recordings.js";
import { threshold } from "./threshold.js";
import { verdict } from "./verdict.js";

const STEPS = [draftAndVerify, minimum, bound, threshold, pays, verdict];
const P = [0.45, 0.25, 0.15, 0.1, 0.05];
const Q = [0.25, 0.4, 0.05, 0.2, 0.1];

/** Draw the page into gradio's component, which has no value. */
export async function mount({ element }) {
  const root = element.querySelector(".learn");
  await addSheets("palette.css", "learn/learn.css");
  const shared = sharedValues({ p: P, q: Q, gamma: 0.2 });
  const steps = STEPS.map((step) => step(shared));
  root.replaceChildren(heading(), overview(steps), ...steps.map(({ node }) => node));
  whenRecoloured(redraw);
  whenSeen(root, (first) => {
    redraw();
    if (first) showRecordings(root, steps);
    scrollToHash();
  });
  addEventListener("hashchange", scrollToHash);
  root.dataset.ready = "";
}

function heading() {
  return make(
    "header",
    {},
    make("h2", { className: "title" }, t("learn.title")),
    make("p", {}, t("learn.lead")),
  );
}

function overview(steps) {
  const links = steps.map(({ node }, index) => {
    const link = make("a", { href: `#${node.id}` }, t(`learn.${index + 1}.title`));
    link.addEventListener("click", (event) => {
      event.preventDefault();
      namePlace(node.id);
      goTo(node);
    });
    return make("li", {}, link);
  });
  const list = make("ol", {}, ...links);
  return make("nav", { ariaLabel: t("learn.steps") }, list);
}

function goTo(section) {
  section.scrollIntoView({ block: "start" });
  section.querySelector("h2").focus({ preventScroll: true });
}

function scrollToHash() {
  const section = /^learn-\d$/.test(placeNamed()) ? document.getElementById(placeNamed()) : null;
  if (section?.offsetParent) goTo(section);
}

async function showRecordings(root, steps) {
  try {
    const races = await recordings();
    for (const { show } of steps) show?.(races);
    root.dataset.recorded = "";
    scrollToHash();
  } catch (error) {
    root.prepend(
      make(
        "p",
        { role: "alert" },
        t("page.recorded_failed", { error: error instanceof Error ? error.message : error }),
      ),
    );
  }
}
