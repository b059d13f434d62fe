// @ts-check
// Keep the ids of this tab's jobs on the server (components/serving/jobs.py), and the prompt that its visitor has
// typed, across reloads by the visitor, or by gradio after a lost connection, so that the page can follow the jobs
// again.
//
// A duplicated tab, or one opened by a link in this tab, gets a copy of sessionStorage. So sessionStorage is empty
// while a tab is visible; otherwise two tabs would share their jobs.

import { isShared } from "./address.js";

const KEY = `adaedl-jobs ${location.pathname}`; // several apps may share an origin

const jobs = read();
forget();
addEventListener("pagehide", store);
addEventListener("pageshow", forget);
document.addEventListener("visibilitychange", () => (document.hidden ? store() : forget()));

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "{}");
  } catch {
    return {}; // a browser without storage
  }
}

function store() {
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

/** Return whether a link to a race has opened this page, rather than a reload. */
const isLinked = () => isShared() && linked;

/** Keep a value along with the jobs. */
export function keep(name, value) {
  jobs[name] = value;
}

/** Return the value kept by that name before the reload; undefined if a link has opened the page. */
export const kept = (name) => (isLinked() ? undefined : jobs[name]);

/** Reload the page for a link that was entered in its address bar. */
export function openLink() {
  jobs.linked = true;
  location.reload();
}

/** Return whether the page continues with the race that it had before it reloaded. */
export const followsRace = () => Boolean(jobs.race) && !isLinked();

export function mount({ props, watch, trigger }) {
  const { job } = props;
  watch("value", () => {
    if (props.value) jobs[job] = props.value;
  });
  if (!jobs[job]) return;
  props.value = jobs[job];
  if (job !== "race" || followsRace()) trigger("input"); // a linked race replaces the earlier one
}
