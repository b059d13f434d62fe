// @ts-check
// Starts a lecture, from the player's button or from the address.

import { make } from "../make.js";
import { t } from "../text.js";
import { asksForLecture, forgetPlace, keepPlace, placeInAddress } from "./address.js";
import { firstPlace, placeOf } from "./place.js";

/**
 * Return the button that starts a lecture on a feed's trace. `here()` returns the player's {lane, round}; `left(lane,
 * time)` is called at the end of the lecture.
 */
export function lectureButton(feed, here, left) {
  const begin = () => {
    const { lane, round } = here();
    const address = { lane: String(lane + 1), round: String(round + 1), phase: null };
    start(feed, address, lane, left);
  };
  const button = make(
    "button",
    { type: "button", className: "lecture-button", onclick: begin },
    t("lecture.begin"),
  );
  button.title = t("lecture.begin_about");
  return button;
}

/** Start the lecture in the address if it is on this feed's race. Return whether it is. */
export function startAsked(feed, lane, left) {
  const isAsked = asksForLecture(feed.recorded);
  if (isAsked) start(feed, placeInAddress(), lane, left);
  return isAsked;
}

async function start({ trace, recorded }, address, lane, left) {
  const first = trace.lanes[lane].rounds.length ? lane : trace.lanes.findIndex(({ rounds }) => rounds.length);
  if (first < 0) return; // no lane has a round yet
  const { openLecture } = await import("./lecture.js");
  openLecture(trace, placeOf(trace, address, firstPlace(trace, first)), {
    moved: (place) => recorded && keepPlace(recorded, place),
    left: (place, time) => {
      if (recorded) forgetPlace();
      left(place.lane, time);
    },
  });
}
