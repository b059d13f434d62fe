// @ts-check
// The player's settings in the query of the address:
//
//     ?race=counting                                  the recorded race with this file name (without .json)
//     ?lecture=counting&lane=2&round=7&phase=judge-1  a lecture on this race at this place; ?lecture: on the first race
//     ?embed=1&race=counting                          only the player, for a frame

import { replaceAddress } from "../address.js";

const PLACE = ["lane", "round", "phase"];
const WRITE_MS = 250; // Safari refuses more than a hundred changes of the address in half a minute

const query = () => new URLSearchParams(location.search);

/** Return the name of the recorded race in the address: "" for the first race, null if there is none. */
export function raceAsked() {
  const settings = query();
  return settings.get("lecture") ?? settings.get("race");
}

/** Whether the address asks for a lecture on the recorded race of this name. */
export function asksForLecture(name) {
  const race = query().get("lecture");
  return Boolean(name) && (race === "" || race === name);
}

export const isEmbedded = () => query().get("embed") === "1";

/** Return the place in the address, {lane, round, phase}, as text; numbers count from 1. */
export function placeInAddress() {
  const settings = query();
  return { lane: settings.get("lane"), round: settings.get("round"), phase: settings.get("phase") };
}

/** Return the address of this page with a recorded race in its player. */
export function addressOfRace(name) {
  const address = new URL(location.pathname, location.href);
  address.searchParams.set("race", name);
  return address;
}

let timer = 0;

/** Store a lecture's place in the address: the race's name and {lane, round, phase} as in `placeInAddress`. */
export function keepPlace(name, place) {
  clearTimeout(timer);
  timer = setTimeout(() => change({ lecture: name, ...place }), WRITE_MS);
}

/** Remove the lecture from the address. */
export function forgetPlace() {
  clearTimeout(timer);
  change({});
}

function change(settings) {
  const address = new URL(location.href);
  for (const name of ["lecture", ...PLACE]) address.searchParams.delete(name);
  for (const [name, value] of Object.entries(settings)) {
    if (value !== null) address.searchParams.set(name, value);
  }
  replaceAddress(address);
}
