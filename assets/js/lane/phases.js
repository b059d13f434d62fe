// @ts-check
// The phases of a lane's rounds, in their order. No DOM here.

import { draftsNothing } from "../trace.js";

/** @import { Lane } from "../types/trace.d.ts" */

const PHASES = ["draft", "compare", "stop", "verify", "judge", "rewind", "emit"];
const PHASES_OF_BASELINE = ["verify", "emit"];

/**
 * Return the names of the phases that a lane's rounds can have.
 * @param {Lane} lane
 */
export const phaseNames = (lane) => (draftsNothing(lane) ? PHASES_OF_BASELINE : PHASES);
