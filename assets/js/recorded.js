// Recorded races: the list of assets/examples, made by this program. On arrival the first one plays, unless
// the address asks for a race of its own.

import { make } from "./make.js";
import { isShared } from "./share.js";
import { language, t } from "./text.js";

const FOLDER = new URL("../examples/", import.meta.url);

export async function mount({ element }) {
  const list = make("div", { className: "recorded", role: "group", ariaLabel: t("page.recorded") });
  const failure = make("p", { className: "failure", role: "alert" });
  element.replaceChildren(list, failure);

  const entries = await read("index.json");
  const buttons = entries.map((entry) =>
    make(
      "button",
      { type: "button", title: entry.line[language], onclick: (event) => chosen(event, entry) },
      entry.title[language],
    ),
  );
  const lines = entries.flatMap(({ title, line }) => [make("dt", {}, title[language]), make("dd", {}, line[language])]);
  const about = make("details", {}, make("summary", {}, t("page.recorded_about")), make("dl", {}, ...lines));
  list.append(make("span", { className: "label" }, t("page.recorded")), ...buttons, about);
  let asked = 0; // which of them was asked for last
  // Whatever else the player shows next, no button is pressed any longer, and one that is still on its way is
  // not wanted any more.
  document.addEventListener("adaedl:opened", (event) => {
    if (event.detail?.source === "recorded") return;
    asked++;
    press(null);
  });

  function chosen({ currentTarget, detail }, entry) {
    // After a click the space bar is for the player; after a key, focus stays where it was.
    if (detail > 0) currentTarget.blur();
    open(entry);
  }

  async function open(entry) {
    const mine = ++asked;
    press(entry);
    failure.textContent = "";
    try {
      const trace = await read(entry.file);
      if (mine !== asked) return;
      const detail = { trace, note: entry.line[language], source: "recorded" };
      document.dispatchEvent(new CustomEvent("adaedl:open", { detail }));
    } catch (error) {
      if (mine === asked) failure.textContent = t("page.recorded_failed", { error: error.message });
    }
  }

  function press(entry) {
    buttons.forEach((button, index) => {
      button.ariaPressed = String(entries[index] === entry);
    });
    if (!entry) failure.textContent = "";
  }

  press(null);
  if (isShared()) return;
  await playerReady();
  open(entries[0]);
}

async function read(file) {
  const response = await fetch(new URL(file, FOLDER));
  if (!response.ok) throw new Error(`${file}: ${response.status}`);
  return response.json();
}

/** The player may be drawn after this list. */
function playerReady() {
  return new Promise((resolve) => {
    const look = () =>
      document.querySelector("#player [data-ready]") ? resolve() : requestAnimationFrame(look);
    look();
  });
}
