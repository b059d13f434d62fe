// @ts-check
// The file's style sheet already has the rules of all its parts, except those that modules contain.

export const addSheets = async () => undefined;

/**
 * Add the rules that a module contains. The file's content security policy allows only its own style element, so they
 * cannot go into another one.
 * @param {string} rules
 */
export function addRules(rules) {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(rules);
  document.adoptedStyleSheets.push(sheet);
}
