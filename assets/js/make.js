// @ts-check
/**
 * Return a new element. `properties` become properties if the element has them, else attributes; `children` are nodes
 * or texts. Text is always text, never HTML.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node) /** @type {any} */ (node)[name] = value;
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/**
 * Set a node's text if it differs, to avoid a needless layout.
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Set or remove a data attribute. It is cheaper than a class: gradio's style sheet has selectors on the text of
 * `class`, so a changed class would make the browser restyle the whole subtree.
 * @param {HTMLElement | SVGElement} node
 * @param {string} name
 * @param {boolean} on
 */
export function mark(node, name, on) {
  if (on === name in node.dataset) return;
  if (on) node.dataset[name] = "";
  else delete node.dataset[name];
}
