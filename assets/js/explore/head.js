// @ts-check
// The part of Explore above its sliders: the menus of recordings, and what the open recording is.

import { make, setText } from "../make.js";
import { t } from "../text.js";
import { unevenness } from "./model.js";
import * as recordings from "./recordings.js";

const ROUGH = 0.25; // the page warns when measured times are more uneven than this

/** Return {nodes, menu, fail(opened), show(opened)} around the `menu` of recordings; `save` saves the open one. */
export function headView(save, menu) {
  const about = make("p", { className: "small about-recording" });
  const button = make(
    "button",
    { type: "button", className: "save-recording", hidden: true, onclick: save },
    t("explore.save"),
  );
  const rough = make("p", { className: "rough" });

  /** Report that a recording could not be read, and keep the open one, if any. */
  function fail(opened) {
    setText(about, t("explore.unread"));
    menu.press(opened && (opened.file ?? "own"));
  }

  function show({ recording, file = "own" }) {
    button.hidden = false;
    setText(about, aboutWords(recording));
    menu.press(file);
    const uneven = unevenness(recording.times);
    setText(rough, uneven > ROUGH ? `⚠ ${t("explore.rough", { percent: (100 * uneven).toFixed(0) })}` : "");
  }
  return {
    nodes: [menu.node, make("div", { className: "about-line" }, about, button), rough],
    menu,
    fail,
    show,
  };
}

function aboutWords(recording) {
  return t("explore.about_recording", {
    prompt: recording.prompt,
    temperature: recording.sampling.temperature,
    rule: recordings.ruleWords(recording),
    scored: recordings.scoredAt(recording),
    tokens: recording.token_ids.length,
    pair: recording.pair.name,
    device: `${recording.device}/${recording.dtype}`,
    seed: recording.seed,
    ratio: (recording.recording_s / recording.plain_s).toFixed(1),
    checked: checkedWords(recording),
  });
}

/** Say how far a replay equals a real run, and how it was checked against rounds played during the recording. */
function checkedWords(recording) {
  const { probed, probed_alike: alike } = recording;
  if (!recordings.isSameRun(recording)) return t("explore.another_draw");
  return probed ? t("explore.checked", { probed, alike }) : "";
}
