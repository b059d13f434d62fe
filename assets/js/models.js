// @ts-check
// Which models are here, or how far they are: {"phase", "sentence", "fraction", "device", "target", "draft", "weights"}.

import { make } from "./make.js";
import { said, t } from "./text.js";

const shortName = (model) => model.split("/").at(-1);

export function mount({ element, props, watch }) {
  const line = make("div", { className: "models" });
  line.setAttribute("role", "status");
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
            t("page.models_ready", state),
            " ",
            make("strong", {}, shortName(state.target)),
          ),
          make("p", { className: "more" }, t("page.models_pair", state)),
          make("p", { className: "more" }, t("page.models_weights", state)),
        ),
      );
      return;
    }
    const bar = make("progress", { max: 1, ariaLabel: t("page.models_loading") });
    if (state.fraction !== null) bar.value = state.fraction;
    const rest = state.phase === "failed" ? t("page.models_again") : bar;
    line.replaceChildren(
      make("strong", {}, t(`page.models_${state.phase}`)),
      ` ${said(state.sentence)} `,
      rest,
    );
  };
  watch("value", draw);
  draw();
}
