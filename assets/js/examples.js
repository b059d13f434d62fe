// @ts-check
// The menu of example prompts. Its value is the one that was chosen.

import { make } from "./make.js";
import { t } from "./text.js";

export function mount({ element, props, trigger }) {
  const select = make(
    "select",
    { ariaLabel: t("page.examples") },
    make("option", { value: "", selected: true }, t("page.examples")),
    ...props.prompts.map((prompt) => make("option", { value: prompt }, prompt)),
  );
  select.addEventListener("change", () => {
    if (!select.value) return;
    props.value = select.value;
    select.value = "";
    trigger("input");
  });
  element.replaceChildren(select);
}
