// @ts-check

/**
 * Return a written number with a true minus sign instead of a hyphen.
 * @param {string} written
 */
export const withMinus = (written) => written.replace("-", "−");

/**
 * Format a number with `digits` decimals and a true minus sign; a value that rounds to zero has no sign.
 * @param {number} value
 * @param {number} digits
 * @returns {string}
 */
export function decimal(value, digits) {
  const written = value.toFixed(digits);
  return Number(written) === 0 ? written.replace("-", "") : withMinus(written);
}
