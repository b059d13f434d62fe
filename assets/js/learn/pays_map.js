// @ts-check
// The end of step 5: the same question for real text. Explore's map of gains for a shipped recording, with every rule
// at its defaults.

import { GainPanel } from "../explore/gain_panel.js";
import { recordingMenu } from "../explore/recording_menu.js";
import { addStyle, firstShown, shipped } from "../explore/recordings.js";
import { loadRules } from "../explore/rules.js";
import { DEFAULTS, limitDrafts } from "../explore/settings.js";
import { make, setText } from "../make.js";
import { t } from "../text.js";

/** Return {node, load()}; `load` reads the first recording, called once the page is seen. */
export function paysMap() {
  let controls = { ...DEFAULTS };
  /** @type {any} */
  let opened = null; // see recordings.js
  const menu = recordingMenu(open);
  const panel = new GainPanel(
    ({ c }) => {
      controls = { ...controls, c };
      if (opened) show();
    },
    { hasSliders: false },
  );
  const failure = make("p", { role: "alert" });
  const node = make("div", { className: "pays-map player explore" }, menu.node, failure, panel.node);

  function show() {
    panel.show(opened, limitDrafts(controls, opened.recording.depth));
  }

  async function open(entry) {
    menu.press(entry.file);
    const recording = await entry.read().catch(() => null);
    if (menu.node.dataset.file !== entry.file) return; // another was chosen in the meantime
    if (!recording) return fail();
    opened = recording;
    setText(failure, "");
    show();
  }

  /** Report that a recording could not be read, and keep the open one. */
  function fail() {
    menu.press(opened?.file);
    setText(failure, t("explore.unread"));
  }

  async function load() {
    await Promise.all([addStyle(), loadRules()]);
    const entries = await shipped().catch(() => []);
    menu.fill(entries);
    if (entries.length) await open(firstShown(entries));
    else fail();
  }
  return { node, load };
}
