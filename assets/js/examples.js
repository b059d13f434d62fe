// @ts-check
// The menu of example prompts, from the keys of their texts. Its value is the chosen prompt.

import { make } from "./make.js";
import { t } from "./text.js";

export function mount({ element, props, trigger }) {
  const select = make(
    "select",
    { ariaLabel: t("page.examples") },
    make("option", { value: "", selected: true }, t("page.examples")),
    ...props.prompts.map(t).map((prompt) => make("option", { value: prompt }, prompt)),
  );
  select.addEventListener("change", () => {
    if (!select.value) return;
    props.value = select.value;
    select.value = "";
    trigger("input");
  });
  element.replaceChildren(select);
}
