// @ts-check
// The names of lanes and rules on the page, from the stoppers' declarations. In links, files and on the command line, a
// spec ("adaedl:threshold=0.5") names a lane. No DOM here.

import { drawable, shortened } from "./characters.js";
import { parseSpec } from "./lane_spec.js";
import { declared, labelOf } from "./stoppers.js";
import { localized, t } from "./text.js";

/** The most characters of a user's name for a lane. */
export const MOST_LETTERS = 40;

/** @typedef {{ stopper: string, settings?: Record<string, any>, label?: string, name?: string }} NamedLane */

/**
 * Return a rule's name without settings: "AdaEDL", "Fixed length". A rule that the registry lacks keeps its own name.
 * @param {string} stopper
 * @returns {string}
 */
export const ruleName = (stopper) => localized(declared(stopper)?.title) || stopper;

/**
 * Return the lane of a spec, with the settings in the spec.
 * @param {string} spec
 * @returns {NamedLane}
 */
export function laneOfSpec(spec) {
  const { name, settings } = parseSpec(spec);
  const values = Object.entries(settings).map(([key, text]) => [key, valueOf(text)]);
  return { stopper: name, settings: Object.fromEntries(values), label: spec };
}

/** @param {string} text */
function valueOf(text) {
  const words = { true: true, false: false, none: null };
  if (Object.hasOwn(words, text)) return words[text];
  return Number.isFinite(Number(text)) ? Number(text) : text;
}

/**
 * Return unique names for the lanes of one race: "AdaEDL", "Always 4". If two lanes would have the same name, the
 * settings that differ are added: "AdaEDL (λ 0.2)".
 * @param {NamedLane[]} lanes
 * @returns {string[]}
 */
export function laneNames(lanes) {
  const names = lanes.map((lane) => givenName(lane) || ownName(lane));
  const distinct = lanes.map((lane, number) => {
    const namesakes = lanes.filter((_, other) => names[other] === names[number]);
    if (namesakes.length === 1 || givenName(lane)) return names[number];
    const changes = differing(namesakes).filter((setting) => isChanged(lane, setting));
    const words = changes.map((setting) => briefly(lane, setting)).join(", ");
    return words ? `${names[number]} (${words})` : names[number];
  });
  return numbered(distinct);
}

/**
 * Clean a user's name for a lane: one line of at most MOST_LETTERS characters; "" for none.
 * @param {string} text
 */
export const cleanName = (text) =>
  [...text.replace(/\s+/g, " ").trim()].slice(0, MOST_LETTERS).join("").trim();

/** @param {NamedLane} lane */
const givenName = ({ name }) => drawable(cleanName(name ?? ""));

/** Return a lane's name from its rule and settings; for an unknown rule, its spec. */
function ownName(lane) {
  const declaration = declared(lane.stopper);
  if (!declaration) return shortened(drawable(lane.label || lane.stopper), MOST_LETTERS);
  return filled(localized(declaration.lane_title), lane, String) || ruleName(lane.stopper);
}

/**
 * Return what a lane does, with its settings that differ from the defaults: "stops when the bound is below 0.40 · max
 * draft 8".
 * @param {NamedLane} lane
 * @returns {string}
 */
export function laneDetail(lane) {
  const declaration = declared(lane.stopper);
  if (!declaration) return "";
  const templates = [localized(declaration.lane_title), localized(declaration.lane_detail)]
    .filter(Boolean)
    .join();
  const others = declaration.settings.filter(
    (setting) => isChanged(lane, setting) && !templates.includes(`{${setting.name}}`),
  );
  const settings = others.map((setting) => settingWords(labelOf(setting), settingOf(lane, setting)));
  return [filled(localized(declaration.lane_detail), lane, decimal), ...settings].filter(Boolean).join(" · ");
}

/** Return a lane's value of a declared setting; older files may lack a new setting. */
/** @type {(lane: NamedLane, setting: { name: string, value: any }) => any} */
const settingOf = ({ settings }, { name, value }) => (settings && name in settings ? settings[name] : value);

const isChanged = (lane, setting) => settingOf(lane, setting) !== setting.value;

/** Fill a lane's settings into the {placeholders} of a template. */
function filled(template, lane, write) {
  const { settings } = declared(lane.stopper);
  return (template ?? "").replace(/\{(\w+)\}/g, (place, name) => {
    const setting = settings.find((each) => each.name === name);
    return setting ? write(settingOf(lane, setting)) : place;
  });
}

/** Format a number with two decimals, with more if it has more, and with none if it is whole. */
function decimal(value) {
  const short = Number(value).toFixed(2);
  return Number.isInteger(value) || Number(short) !== value ? String(value) : short;
}

/** Return the first setting that distinguishes all these lanes of one rule, else all settings that differ. */
function differing(lanes) {
  const settings = declared(lanes[0].stopper)?.settings ?? [];
  const values = (setting) => new Set(lanes.map((lane) => settingOf(lane, setting))).size;
  const sufficient = settings.find((setting) => values(setting) === lanes.length);
  return sufficient ? [sufficient] : settings.filter((setting) => values(setting) > 1);
}

const briefly = (lane, setting) =>
  settingWords(setting.symbol || localized(setting.words), settingOf(lane, setting));

function settingWords(words, value) {
  if (typeof value === "boolean") return `${words}: ${t(value ? "player.on" : "player.off")}`;
  return `${words} ${value === null ? t("page.lane_automatic") : value}`;
}

/** Make names unique by numbering repeated ones. */
function numbered(names) {
  const taken = new Set();
  return names.map((name) => {
    let [unique, number] = [name, 1];
    while (taken.has(unique)) unique = `${name} (${++number})`;
    taken.add(unique);
    return unique;
  });
}
