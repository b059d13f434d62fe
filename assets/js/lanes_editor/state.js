// @ts-check
// The state of the lanes' editor, and functions that return the next state. No DOM here.

/**
 * The lanes' specs, the number of the lane whose form is open, and whether the menu that adds a lane is open.
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
 * Open or close a lane's form.
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
 * Open or close the menu.
 * @param {State} state
 * @returns {State}
 */
export const toggleMenu = (state) => ({ ...state, adding: !state.adding });

/**
 * Add a lane, and open its form if it has `settings`.
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
 * Move a lane to another place; an open form stays with its lane.
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
