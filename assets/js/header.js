// @ts-check
// The switches for language and theme in the page's header. This browser remembers both, and the script in the page's
// head (components/serving/language.py) restores them before anything is drawn.

import { choose } from "./language.js";
import { make } from "./make.js";
import { svg } from "./svg.js";
import { language, t } from "./text.js";
import { isDark, turn, whenRecoloured } from "./theme.js";

const LANGUAGES = [
  { name: "en", locale: "en", words: "English" },
  { name: "zh", locale: "zh-CN", words: "中文" },
];
const SUN =
  "M8 4.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7M7.4 0h1.2v3H7.4zM7.4 13h1.2v3H7.4zM0 7.4h3v1.2H0zM13 7.4h3v1.2h-3z";
const MOON = "M6 1a7 7 0 1 0 9 9 6 6 0 0 1-9-9";

export function mount({ element }) {
  const place = element.querySelector(".switches");
  place.replaceChildren(
    ...LANGUAGES.filter(({ name }) => name !== language).map(languageSwitch),
    themeSwitch(),
  );
}

function languageSwitch({ locale, words }) {
  const onclick = () => choose(locale);
  return make("button", { type: "button", lang: locale, className: "language", onclick }, words);
}

function themeSwitch() {
  const icon = svg("svg", { viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" });
  const path = svg("path", {});
  icon.append(path);
  const button = make("button", { type: "button", className: "theme", onclick: () => turn(!isDark()) }, icon);
  const draw = () => {
    path.setAttribute("d", isDark() ? SUN : MOON);
    button.title = button.ariaLabel = t(isDark() ? "page.theme_light" : "page.theme_dark");
  };
  whenRecoloured(draw);
  draw();
  return button;
}
