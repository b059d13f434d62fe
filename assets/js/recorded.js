// @ts-check
// The list of recorded races in assets/examples. When the page opens, the first one plays in a loop, unless the address
// names another race.

import { readJson } from "./json.js";
import { make } from "./make.js";
import { isShared } from "./address.js";
import { isEmbedded, raceAsked } from "./lecture/address.js";
import { language, t } from "./text.js";

const FOLDER = new URL("../examples/", import.meta.url);

export async function mount({ element }) {
  const list = make("div", { className: "recorded", role: "group", ariaLabel: t("page.recorded") });
  const failure = make("p", { className: "failure", role: "alert" });
  element.replaceChildren(list, failure);
  let races = null;
  let isOther = false; // whether the player shows another race
  // Then no button stays pressed, and a recorded race that is still loading is dropped.
  document.addEventListener("adaedl:opened", (event) => {
    isOther = event.detail?.source !== "recorded";
    if (isOther) races?.leave();
  });
  const entries = await readJson("index.json", FOLDER);
  races = racesView(entries, failure);
  list.append(
    make("span", { className: "label" }, t("page.recorded")),
    ...races.buttons,
    aboutRaces(entries),
  );
  const named = raceAsked();
  if (isShared() && named === null) return;
  await playerReady();
  if (isEmbedded()) document.getElementById("player")?.append(failure); // only the player is visible there
  const entry = named ? entries.find(({ file }) => nameOf(file) === named) : entries[0];
  if (entry) {
    if (named || !isOther) races.open(entry, true);
  } else
    failure.textContent = t("page.recorded_unknown", {
      name: named,
      names: entries.map(({ file }) => nameOf(file)).join(", "),
    });
}

/** Return a race's name in addresses. */
const nameOf = (file) => file.replace(/\.json$/, "");

/** Return {buttons, open(entry, loops), leave()}; errors appear in `failure`. */
function racesView(entries, failure) {
  let requests = 0; // the number of the last request
  const buttons = entries.map((entry) => {
    const properties = {
      type: "button",
      title: entry.line[language],
      onclick: (event) => chosen(event, entry),
    };
    return make("button", properties, entry.title[language]);
  });

  function chosen({ currentTarget, detail }, entry) {
    // After a click, leave the space bar to the player; after a key press, keep the focus.
    if (detail > 0) currentTarget.blur();
    open(entry);
  }

  async function open(entry, loops = false) {
    const request = ++requests;
    press(entry);
    try {
      const trace = await readJson(entry.file, FOLDER);
      if (request !== requests) return;
      const name = nameOf(entry.file);
      const detail = { trace, note: entry.line[language], source: "recorded", name, loops };
      document.dispatchEvent(new CustomEvent("adaedl:open", { detail }));
    } catch (error) {
      if (request === requests)
        failure.textContent = t("page.recorded_failed", {
          error: error instanceof Error ? error.message : error,
        });
    }
  }

  function leave() {
    requests++;
    press(null);
  }

  function press(entry) {
    buttons.forEach((button, index) => (button.ariaPressed = String(entries[index] === entry)));
    failure.textContent = "";
  }

  press(null);
  return { buttons, open, leave };
}

/** Return the captions of all races, folded. */
function aboutRaces(entries) {
  const lines = entries.flatMap(({ title, line }) => [
    make("dt", {}, title[language]),
    make("dd", {}, line[language]),
  ]);
  return make("details", {}, make("summary", {}, t("page.recorded_about")), make("dl", {}, ...lines));
}

/**
 * Wait for the player, which may be drawn after this list.
 * @returns {Promise<void>}
 */
function playerReady() {
  return new Promise((resolve) => {
    const check = () =>
      document.querySelector("#player [data-ready]") ? resolve() : requestAnimationFrame(check);
    check();
  });
}
