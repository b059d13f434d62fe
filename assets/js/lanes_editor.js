// @ts-check
// The editor of lanes: a row of chips, the menu that adds one, and the form of the lane that is being edited.
// Its value is a JSON list of specs such as "adaedl:threshold=0.5". What stoppers there are and what they take is
// declared in stoppers.js; the server (components/parts/lanes_editor.py) checks every change.

import { formatSpec, parseSpec } from "./lane_spec.js";
import { addChip, chipWords, laneChip, laneTitle } from "./lanes_editor/chip.js";
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
import { said, t } from "./text.js";

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

  /** Take up lanes that were set from elsewhere; where they are the same, a form that is open stays. */
  take() {
    if (this.#props.value !== JSON.stringify(this.#state.specs)) this.read();
  }

  /** Name the lanes anew, for another pair; a form that is open stays. */
  rename() {
    this.#state.specs.forEach((spec, number) => this.#name(spec, number));
  }

  /** Go on in another state and draw it, the keyboard's focus on what `focus` selects. */
  #go(state, focus) {
    if (state === this.#state) return;
    if (state.specs !== this.#state.specs) this.#props.value = JSON.stringify(state.specs);
    this.#state = state;
    this.#draw();
    if (focus) this.node.querySelector(focus)?.focus();
  }

  #draw() {
    const { specs, edited, adding } = this.#state;
    const chips = specs.map((spec, number) =>
      laneChip(spec, this.#wordsOf(spec), number, isOpen(this.#state, number), this.#actsOnChip),
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
    const wanted = this.#panel.querySelector(button);
    (wanted?.disabled ? this.#panel.querySelector(".close") : wanted)?.focus();
  }

  #close() {
    const { specs, edited, adding } = this.#state;
    this.#go(closedWith(specs), adding ? ".add" : openButton(edited));
  }

  /** A setting as it was typed stands at once; the server says whether it will do. */
  async #set(number, setting, value) {
    const lane = parseSpec(this.#state.specs[number]);
    lane.settings[setting.name] = value.trim() || (setting.optional ? "none" : String(setting.value));
    const typed = formatSpec(lane);
    this.#write(number, typed);
    const answer = await this.#server.check_lane(typed).catch(() => ({ spec: typed }));
    if (this.#state.specs[number] !== typed) return;
    this.#complain(said(answer.error) ?? "", setting.name);
    if (answer.spec) this.#write(number, answer.spec);
  }

  /** Change a lane beneath its open form, which stays as it is. */
  #write(number, spec) {
    this.#state = { ...this.#state, specs: this.#state.specs.with(number, spec) };
    this.#props.value = JSON.stringify(this.#state.specs);
    this.#name(spec, number);
  }

  #name(spec, number) {
    const open = this.#chips.children[number].querySelector(".open");
    if (open) setText(open, this.#wordsOf(spec));
  }

  /** Only the lanes of a race are those of the pair in its menu. */
  #wordsOf(spec) {
    return this.#props.of_pair ? chipWords(spec) : laneTitle(spec);
  }

  /** Say what the server has against a setting; "" where it has nothing. */
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
