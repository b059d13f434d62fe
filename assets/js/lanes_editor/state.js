// @ts-check
// The lanes as they are edited: a state, and functions that return the next one. No DOM here.

/**
 * The specs of the lanes, the number of the lane whose form is open, and whether the menu that adds one is open.
 * @typedef {{ specs: string[], edited: number | null, adding: boolean }} State
 */

/**
 * @param {string[]} specs
 * @returns {State}
 */
export const closedWith = (specs) => ({ specs, edited: null, adding: false });

/**
 * @param {State} state
 * @param {number} number
 */
export const isOpen = ({ edited, adding }, number) => edited === number && !adding;

/**
 * Open a lane's form, or close it.
 * @param {State} state
 * @param {number} number
 * @returns {State}
 */
export const toggleForm = (state, number) => ({
  ...state,
  edited: isOpen(state, number) ? null : number,
  adding: false,
});

/**
 * Open the menu, or close it.
 * @param {State} state
 * @returns {State}
 */
export const toggleMenu = (state) => ({ ...state, adding: !state.adding });

/**
 * Add a lane, its form open where it has `settings`.
 * @param {State} state
 * @param {string} spec
 * @param {boolean} settings
 * @returns {State}
 */
export const add = ({ specs }, spec, settings) => ({
  specs: [...specs, spec],
  edited: settings ? specs.length : null,
  adding: false,
});

/**
 * @param {State} state
 * @param {number} number
 * @returns {State}
 */
export const remove = (state, number) => ({
  ...state,
  specs: state.specs.toSpliced(number, 1),
  edited: null,
});

/**
 * @param {State} state
 * @param {number} number
 * @returns {State}
 */
export const duplicate = (state, number) => ({
  ...state,
  specs: state.specs.toSpliced(number + 1, 0, state.specs[number]),
  edited: number + 1,
});

/**
 * Move a lane to another place; the open form stays with its lane.
 * @param {State} state
 * @param {number} from
 * @param {number} to
 * @returns {State}
 */
export function move(state, from, to) {
  const { specs, edited } = state;
  if (to < 0 || to >= specs.length || from === to) return state;
  return {
    ...state,
    specs: specs.toSpliced(from, 1).toSpliced(to, 0, specs[from]),
    edited: moved(edited, from, to),
  };
}

/**
 * @param {number | null} number
 * @param {number} from
 * @param {number} to
 */
function moved(number, from, to) {
  if (number === null) return null;
  if (number === from) return to;
  if (from < number && number <= to) return number - 1;
  return to <= number && number < from ? number + 1 : number;
}
