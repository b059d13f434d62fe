// @ts-check
// The editor of lanes: a row of chips, the menu that adds one, and the form of the lane being edited. Its value is a
// JSON list of specs such as "adaedl:threshold=0.5". The stoppers and their settings come from stoppers.js; the server
// (components/parts/lanes_editor.py) checks every change.

import { formatSpec, parseSpec } from "./lane_spec.js";
import { addChip, chipTitle, chipWords, laneChip } from "./lanes_editor/chip.js";
import { laneForm, stoppersMenu } from "./lanes_editor/form.js";
import {
  add,
  closedWith,
  duplicate,
  isOpen,
  move,
  remove,
  toggleForm,
  toggleMenu,
} from "./lanes_editor/state.js";
import { make, setText } from "./make.js";
import { onPair } from "./pairs.js";
import { localized, t } from "./text.js";

export function mount({ element, props, watch, server }) {
  const editor = new LanesEditor(props, server);
  element.replaceChildren(editor.node);
  watch("value", () => editor.take());
  if (props.of_pair) onPair(() => editor.rename());
  editor.read();
}

class LanesEditor {
  #props;
  #server;
  #state = closedWith([]);
  #chips = make("ol", { className: "chips" });
  #panel = make("div", { className: "panel" });
  #error = make("p", { className: "complaint", role: "alert" });
  #actsOnChip = {
    toggleForm: (number) => this.#go(toggleForm(this.#state, number), openButton(number)),
    remove: (number) => this.#go(remove(this.#state, number), number ? openButton(number - 1) : ".add"),
    move: (from, to) => this.#go(move(this.#state, from, to)),
  };

  constructor(props, server) {
    [this.#props, this.#server] = [props, server];
    const group = { className: "lanes-editor", role: "group", ariaLabel: t("page.lanes") };
    this.node = make("div", group, this.#chips, this.#panel, this.#error);
  }

  read() {
    this.#state = closedWith(JSON.parse(this.#props.value || "[]"));
    this.#draw();
  }

  /** Show lanes that were set from outside; if they are the same, an open form stays open. */
  take() {
    if (this.#props.value !== JSON.stringify(this.#state.specs)) this.read();
  }

  /** Update the lanes' names; an open form stays open. */
  rename() {
    const words = this.#words();
    this.#state.specs.forEach((spec, number) => {
      /** @type {HTMLElement | null} */
      const open = this.#chips.children[number].querySelector(".open");
      if (!open) return;
      setText(open, words[number]);
      open.title = chipTitle(spec);
    });
  }

  /** Change to another state, draw it, and move the keyboard's focus to the selector `focus`. */
  #go(state, focus) {
    if (state === this.#state) return;
    if (state.specs !== this.#state.specs) this.#props.value = JSON.stringify(state.specs);
    this.#state = state;
    this.#draw();
    if (focus) this.node.querySelector(focus)?.focus();
  }

  #draw() {
    const { specs, edited, adding } = this.#state;
    const words = this.#words();
    const chips = specs.map((spec, number) =>
      laneChip(spec, words[number], number, isOpen(this.#state, number), this.#actsOnChip),
    );
    const more = addChip(adding, specs.length, this.#props.most, () => {
      this.#go(toggleMenu(this.#state), adding ? ".add" : ".menu button");
    });
    this.#chips.replaceChildren(...chips, more);
    this.#panel.replaceChildren(
      ...(adding ? [this.#menu()]
      : edited === null ? []
      : [this.#form(edited)]),
    );
    this.#panel.hidden = !adding && edited === null;
    this.#complain("");
  }

  #menu() {
    const { specs } = this.#state;
    const choose = ({ name, settings }) => {
      this.#go(add(this.#state, name, settings.length > 0), openButton(specs.length));
    };
    return stoppersMenu(choose, () => this.#close());
  }

  #form(number) {
    const { specs } = this.#state;
    const act = {
      set: (setting, value) => this.#set(number, setting, value),
      earlier: () => this.#moveForm(number, number - 1, ".earlier"),
      later: () => this.#moveForm(number, number + 1, ".later"),
      duplicate: () => this.#go(duplicate(this.#state, number), openButton(number + 1)),
      close: () => this.#close(),
    };
    const disabled = [
      ...(number === 0 ? ["earlier"] : []),
      ...(number === specs.length - 1 ? ["later"] : []),
      ...(specs.length >= this.#props.most ? ["duplicate"] : []),
    ];
    return laneForm(specs[number], act, disabled);
  }

  #moveForm(from, to, button) {
    this.#go(move(this.#state, from, to));
    const target = this.#panel.querySelector(button);
    (target?.disabled ? this.#panel.querySelector(".close") : target)?.focus();
  }

  #close() {
    const { specs, edited, adding } = this.#state;
    this.#go(closedWith(specs), adding ? ".add" : openButton(edited));
  }

  /** Store a setting as typed at once; the server then checks it. */
  async #set(number, setting, value) {
    const lane = parseSpec(this.#state.specs[number]);
    lane.settings[setting.name] = value.trim() || (setting.optional ? "none" : String(setting.value));
    const typed = formatSpec(lane);
    this.#write(number, typed);
    const answer = await this.#server.check_lane(typed).catch(() => ({ spec: typed }));
    if (this.#state.specs[number] !== typed) return;
    this.#complain(localized(answer.error) ?? "", setting.name);
    if (answer.spec) this.#write(number, answer.spec);
  }

  /** Change a lane without redrawing its open form. */
  #write(number, spec) {
    this.#state = { ...this.#state, specs: this.#state.specs.with(number, spec) };
    this.#props.value = JSON.stringify(this.#state.specs);
    this.rename();
  }

  /** Only a race's lanes belong to the pair in its menu. */
  #words() {
    return chipWords(this.#state.specs, this.#props.of_pair);
  }

  /** Show the server's complaint about a setting; "" for none. */
  #complain(complaint, setting) {
    this.#error.textContent = complaint;
    this.#error.hidden = !complaint;
    if (complaint) this.#panel.querySelector(`[name="${setting}"]`)?.setAttribute("aria-invalid", "true");
    else
      for (const input of this.#panel.querySelectorAll("[aria-invalid]"))
        input.removeAttribute("aria-invalid");
  }
}

const openButton = (number) => `[data-lane="${number}"] .open`;
