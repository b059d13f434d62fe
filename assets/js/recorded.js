// @ts-check
// Recorded races: the list of assets/examples, made by this program. On arrival the first one plays, unless
// the address asks for a race of its own.

import { readJson } from "./json.js";
import { make } from "./make.js";
import { isShared } from "./address.js";
import { language, t } from "./text.js";

const FOLDER = new URL("../examples/", import.meta.url);

export async function mount({ element }) {
  const list = make("div", { className: "recorded", role: "group", ariaLabel: t("page.recorded") });
  const failure = make("p", { className: "failure", role: "alert" });
  element.replaceChildren(list, failure);
  const entries = await readJson("index.json", FOLDER);
  const races = racesView(entries, failure);
  list.append(
    make("span", { className: "label" }, t("page.recorded")),
    ...races.buttons,
    aboutRaces(entries),
  );
  // Whatever else the player shows next, no button is pressed any longer, and one that is still on its way is
  // not wanted any more.
  document.addEventListener("adaedl:opened", (event) => {
    if (event.detail?.source !== "recorded") races.leave();
  });
  if (isShared()) return;
  await playerReady();
  races.open(entries[0]);
}

/** {buttons, open(entry), leave()}; what fails is said in `failure`. */
function racesView(entries, failure) {
  let asked = 0; // which of them was asked for last
  const buttons = entries.map((entry) => {
    const properties = {
      type: "button",
      title: entry.line[language],
      onclick: (event) => chosen(event, entry),
    };
    return make("button", properties, entry.title[language]);
  });

  function chosen({ currentTarget, detail }, entry) {
    // After a click the space bar is for the player; after a key, focus stays where it was.
    if (detail > 0) currentTarget.blur();
    open(entry);
  }

  async function open(entry) {
    const mine = ++asked;
    press(entry);
    try {
      const trace = await readJson(entry.file, FOLDER);
      if (mine !== asked) return;
      const detail = { trace, note: entry.line[language], source: "recorded" };
      document.dispatchEvent(new CustomEvent("adaedl:open", { detail }));
    } catch (error) {
      if (mine === asked)
        failure.textContent = t("page.recorded_failed", {
          error: error instanceof Error ? error.message : error,
        });
    }
  }

  function leave() {
    asked++;
    press(null);
  }

  function press(entry) {
    buttons.forEach((button, index) => (button.ariaPressed = String(entries[index] === entry)));
    failure.textContent = "";
  }

  press(null);
  return { buttons, open, leave };
}

/** What each of the races shows, folded. */
function aboutRaces(entries) {
  const lines = entries.flatMap(({ title, line }) => [
    make("dt", {}, title[language]),
    make("dd", {}, line[language]),
  ]);
  return make("details", {}, make("summary", {}, t("page.recorded_about")), make("dl", {}, ...lines));
}

/**
 * The player may be drawn after this list.
 * @returns {Promise<void>}
 */
function playerReady() {
  return new Promise((resolve) => {
    const look = () =>
      document.querySelector("#player [data-ready]") ? resolve() : requestAnimationFrame(look);
    look();
  });
}
