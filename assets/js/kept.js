// @ts-check
// The ids of the jobs that this tab has on the server (components/serving/jobs.py). They are kept while the page is
// loaded anew, by a visitor or by gradio once a lost connection is back, so that it can follow them again.
//
// A tab that is duplicated, or opened by a link out of this one, gets a copy of what is in sessionStorage. So
// nothing is there while a tab is in sight: two tabs would share their jobs.

import { isShared } from "./address.js";

const KEY = `adaedl-jobs ${location.pathname}`; // several apps may share an origin

const jobs = read();
forget();
addEventListener("pagehide", keep);
addEventListener("pageshow", forget);
document.addEventListener("visibilitychange", () => (document.hidden ? keep() : forget()));

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "{}");
  } catch {
    return {}; // a browser that keeps nothing for pages
  }
}

function keep() {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(jobs));
  } catch {
    // as above
  }
}

function forget() {
  try {
    sessionStorage.removeItem(KEY);
  } catch {
    // as above
  }
}

const [navigation] = /** @type {PerformanceNavigationTiming[]} */ (
  performance.getEntriesByType("navigation")
);
const linked = jobs.linked ?? navigation?.type === "navigate";
delete jobs.linked;

/** Whether this page was opened by a link that asks for a race, and not only loaded anew. */
const isLinked = () => isShared() && linked;

/** Load the page anew for a link that was put into its address bar. */
export function openLink() {
  jobs.linked = true;
  location.reload();
}

/** Whether the page goes on with a race that it had before it was loaded anew. */
export const followsRace = () => Boolean(jobs.race) && !isLinked();

export function mount({ props, watch, trigger }) {
  const { job } = props;
  watch("value", () => {
    if (props.value) jobs[job] = props.value;
  });
  if (!jobs[job]) return;
  props.value = jobs[job];
  if (job !== "race" || followsRace()) trigger("input"); // a linked race takes the place of the one before
}
