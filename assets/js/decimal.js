// @ts-check

/**
 * Format a number with `digits` decimals and a true minus sign; a value that rounds to zero has no sign.
 * @param {number} value
 * @param {number} digits
 * @returns {string}
 */
export function decimal(value, digits) {
  const written = value.toFixed(digits);
  if (Number(written) === 0) return written.replace("-", "");
  return written.replace("-", "−");
}
