// @ts-check
// The loaded models, or the progress of loading them: {"phase", "sentence", "fraction", "device", "target", "draft",
// "weights"}.

import { make } from "./make.js";
import { spoken } from "./spoken.js";
import { localized, t } from "./text.js";
import { draftWords, weightsWords } from "./weights.js";

const shortName = (model) => model.split("/").at(-1);

export function mount({ element, props, watch }) {
  const line = spoken(make("div", { className: "models" }));
  element.replaceChildren(line);
  const draw = () => {
    const state = JSON.parse(props.value);
    line.dataset.phase = state.phase;
    if (state.phase === "ready") {
      line.replaceChildren(
        make(
          "details",
          {},
          make(
            "summary",
            {},
            make("span", { className: "ready" }, t("page.models_ready", state)),
            " ",
            make("strong", {}, shortName(state.target)),
          ),
          make(
            "p",
            { className: "more" },
            t("page.models_pair", { ...state, draft: draftWords(state.draft) }),
          ),
          make(
            "p",
            { className: "more" },
            t("page.models_weights", { weights: weightsWords(state.weights) }),
          ),
        ),
      );
      return;
    }
    const bar = make("progress", { max: 1, ariaLabel: t("page.models_loading") });
    if (state.fraction !== null) bar.value = state.fraction;
    const rest = state.phase === "failed" ? t("page.models_again") : bar;
    line.replaceChildren(
      make("strong", {}, t(`page.models_${state.phase}`)),
      ` ${localized(state.sentence)} `,
      rest,
    );
  };
  watch("value", draw);
  draw();
}
