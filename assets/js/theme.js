// @ts-check
/**
 * Call `act` whenever the page turns dark or light: gradio says so by a class of the body.
 * @param {() => void} act
 */
export function whenRecoloured(act) {
  new MutationObserver(() => act()).observe(document.body, { attributeFilter: ["class"] });
}
