// @ts-check
// The end of step 5: the same question on real text. Explore's map of gains for a shipped recording, with every rule at
// its own defaults.

import { GainPanel } from "../explore/gain_panel.js";
import { recordingMenu } from "../explore/recording_menu.js";
import { addStyle, firstShown, shipped } from "../explore/recordings.js";
import { DEFAULTS, within } from "../explore/settings.js";
import { make, setText } from "../make.js";
import { t } from "../text.js";

/** {node, load()}; `load` reads the first recording once the page is seen. */
export function paysMap() {
  let controls = { ...DEFAULTS };
  /** @type {any} */
  let opened = null; // as recordings.js gives it
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
    panel.show(opened, within(controls, opened.recording.depth));
  }

  async function open(entry) {
    menu.press(entry.file);
    const read = await entry.read().catch(() => null);
    if (menu.node.dataset.file !== entry.file) return; // another was chosen meanwhile
    if (!read) return fail();
    opened = read;
    setText(failure, "");
    show();
  }

  /** Say that a recording could not be read, and leave what is open. */
  function fail() {
    menu.press(opened?.file);
    setText(failure, t("explore.unread"));
  }

  async function load() {
    await addStyle();
    const entries = await shipped().catch(() => []);
    menu.fill(entries);
    if (entries.length) await open(firstShown(entries));
    else fail();
  }
  return { node, load };
}
