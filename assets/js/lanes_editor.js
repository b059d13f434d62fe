// The editor of lanes: a row of chips, the menu that adds one, and the form of the lane that is being edited.
// Its value is a JSON list of specs such as "adaedl:threshold=0.5". What stoppers there are and what they take is
// declared in stoppers.js; the server (components/parts/lanes_editor.py) checks every change.

import { make } from "./make.js";
import { declared, labelOf, stoppers, summaryOf } from "./stoppers.js";
import { said, t } from "./text.js";

/** "adaedl:threshold=0.5" → {name: "adaedl", settings: {threshold: "0.5"}} */
export function parseSpec(spec) {
  const [name, rest = ""] = spec.split(/:(.*)/s);
  const items = rest.split(",").filter((item) => item.includes("="));
  return { name, settings: Object.fromEntries(items.map((item) => item.split(/=(.*)/s).slice(0, 2))) };
}

/** The inverse of parseSpec. */
export function formatSpec({ name, settings }) {
  const items = Object.entries(settings).map(([key, value]) => `${key}=${value ?? "none"}`);
  return items.length ? `${name}:${items.join(",")}` : name;
}

export function mount({ element, props, watch, server }) {
  let specs = [];
  let edited = null; // the number of the lane whose form is open
  let adding = false;
  let complaint = "";

  const chips = make("ol", { className: "chips" });
  const panel = make("div", { className: "panel" });
  const error = make("p", { className: "complaint", role: "alert" });
  element.replaceChildren(
    make("div", { className: "lanes-editor", role: "group", ariaLabel: t("page.lanes") }, chips, panel, error),
  );

  function read() {
    specs = JSON.parse(props.value || "[]");
    [edited, adding, complaint] = [null, false, ""];
    draw();
  }

  /** Change the lanes and draw them, the keyboard's focus on what `focus` selects. */
  function change(next, focus) {
    specs = next;
    props.value = JSON.stringify(specs);
    complaint = "";
    draw(focus);
  }

  function draw(focus) {
    chips.replaceChildren(...specs.map(chip), addButton());
    panel.replaceChildren(...(adding ? [menu()] : edited === null ? [] : [form(edited)]));
    panel.hidden = !adding && edited === null;
    error.textContent = complaint;
    error.hidden = !complaint;
    if (focus) element.querySelector(focus)?.focus();
  }

  function title(spec) {
    const { name, settings } = parseSpec(spec);
    // A draft length is shown even where it is the default one.
    const lengths = declared(name)?.settings.filter(({ symbol }) => symbol === "k") ?? [];
    const shown = { ...Object.fromEntries(lengths.map((setting) => [setting.name, setting.value])), ...settings };
    return [name, ...Object.entries(shown).map(([key, value]) => `${key}=${value}`)].join(" ");
  }

  function chip(spec, number) {
    const open = make(
      "button",
      {
        type: "button",
        className: "open",
        ariaExpanded: String(edited === number && !adding),
        title: t("page.lane_edit"),
        onclick: () => {
          edited = edited === number && !adding ? null : number;
          adding = false;
          complaint = "";
          draw(`[data-lane="${number}"] .open`);
        },
      },
      title(spec),
    );
    const remove = make(
      "button",
      {
        type: "button",
        className: "remove",
        ariaLabel: t("page.lane_remove", { lane: title(spec) }),
        title: t("page.lane_remove", { lane: title(spec) }),
        onclick: () => {
          edited = null;
          change(specs.toSpliced(number, 1), number ? `[data-lane="${number - 1}"] .open` : ".add");
        },
      },
      "×",
    );
    const item = make("li", { className: "chip", draggable: true }, open, remove);
    item.dataset.lane = number;
    item.addEventListener("dragstart", (event) => event.dataTransfer.setData("text/adaedl-lane", number));
    item.addEventListener("dragover", (event) => {
      if (event.dataTransfer.types.includes("text/adaedl-lane")) event.preventDefault();
    });
    item.addEventListener("drop", (event) => {
      event.preventDefault();
      move(Number(event.dataTransfer.getData("text/adaedl-lane")), number);
    });
    return item;
  }

  function move(from, to) {
    if (to < 0 || to >= specs.length || from === to) return;
    if (edited === from) edited = to;
    else if (edited > from && edited <= to) edited -= 1;
    else if (edited !== null && edited < from && edited >= to) edited += 1;
    change(specs.toSpliced(from, 1).toSpliced(to, 0, specs[from]));
  }

  function addButton() {
    const full = specs.length >= props.most;
    const button = make(
      "button",
      {
        type: "button",
        className: "add",
        disabled: full,
        ariaExpanded: String(adding),
        title: full ? t("page.lanes_full", { most: props.most }) : t("page.lane_add"),
        onclick: () => {
          adding = !adding;
          complaint = "";
          draw(adding ? ".menu button" : ".add");
        },
      },
      `+ ${t("page.lane")}`,
    );
    return make("li", {}, button);
  }

  function menu() {
    const live = stoppers.filter(({ replay_only }) => !replay_only);
    const entries = live.map((stopper) =>
      make(
        "button",
        {
          type: "button",
          onclick: () => {
            adding = false;
            edited = stopper.settings.length ? specs.length : null;
            change([...specs, stopper.name], `[data-lane="${specs.length}"] .open`);
          },
        },
        make("strong", {}, stopper.name),
        make("span", {}, summaryOf(stopper.name)),
      ),
    );
    return make("div", { className: "menu", onkeydown: closeOnEscape }, ...entries);
  }

  function form(number) {
    const { name, settings } = parseSpec(specs[number]);
    const fields = (declared(name)?.settings ?? []).map((setting) =>
      field(setting, settings[setting.name] ?? setting.value, (value) => set(number, setting, value)),
    );
    const button = (key, onclick, disabled = false) =>
      make("button", { type: "button", className: key, onclick, disabled }, t(`page.lane_${key}`));
    return make(
      "div",
      { className: "form", role: "group", ariaLabel: title(specs[number]), onkeydown: closeOnEscape },
      make("p", { className: "summary" }, make("strong", {}, name), " ", summaryOf(name)),
      make("div", { className: "fields" }, ...fields),
      make(
        "div",
        { className: "actions" },
        button("earlier", () => (move(number, number - 1), focusOn(".earlier")), number === 0),
        button("later", () => (move(number, number + 1), focusOn(".later")), number === specs.length - 1),
        button("duplicate", () => duplicate(number), specs.length >= props.most),
        button("close", close),
      ),
    );
  }

  function field(setting, value, onSet) {
    const range = setting.range ? ` (${setting.range.join(" … ")})` : "";
    const isSwitch = setting.kind === "switch";
    const input = isSwitch
      ? make("input", { type: "checkbox", checked: String(value) === "true" })
      : make("input", {
          type: "number",
          step: setting.kind === "whole" ? "1" : "any",
          value: value === null || value === "none" ? "" : value,
          placeholder: setting.optional ? t("page.lane_automatic") : "",
        });
    input.name = setting.name;
    // At every keystroke, not when the field is left: what then moves would slip from under the pointer.
    input.addEventListener("input", () => onSet(isSwitch ? String(input.checked) : input.value));
    const title = `${said(setting.about)}${range}`;
    return make("label", { className: isSwitch ? "switch" : "", title }, make("span", {}, labelOf(setting)), input);
  }

  /** A setting as it was typed stands at once; the server says whether it will do. */
  async function set(number, setting, value) {
    const lane = parseSpec(specs[number]);
    lane.settings[setting.name] = value.trim() || (setting.optional ? "none" : String(setting.value));
    const typed = formatSpec(lane);
    write(number, typed);
    const answer = await server.check_lane(typed).catch(() => ({ spec: typed }));
    if (specs[number] !== typed) return;
    complaint = said(answer.error) ?? "";
    error.textContent = complaint;
    error.hidden = !complaint;
    const input = panel.querySelector(`[name="${setting.name}"]`);
    if (complaint) input?.setAttribute("aria-invalid", "true");
    else panel.querySelectorAll("[aria-invalid]").forEach((node) => node.removeAttribute("aria-invalid"));
    if (answer.spec) write(number, answer.spec);
  }

  function write(number, spec) {
    specs[number] = spec;
    props.value = JSON.stringify(specs);
    chips.children[number].querySelector(".open").textContent = title(spec);
  }

  function duplicate(number) {
    edited = number + 1;
    change(specs.toSpliced(number + 1, 0, specs[number]), `[data-lane="${edited}"] .open`);
  }

  function close() {
    const back = adding ? ".add" : `[data-lane="${edited}"] .open`;
    adding = false;
    edited = null;
    complaint = "";
    draw(back);
  }

  function closeOnEscape(event) {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    close();
  }

  function focusOn(selector) {
    const wanted = panel.querySelector(selector);
    (wanted?.disabled ? panel.querySelector(".close") : wanted)?.focus();
  }

  watch("value", read);
  read();
}
