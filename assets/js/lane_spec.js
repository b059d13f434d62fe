// @ts-check
// The spec of a stopper with its settings, such as "adaedl:threshold=0.5". No DOM here.

/**
 * Parse a spec: "adaedl:threshold=0.5" → {name: "adaedl", settings: {threshold: "0.5"}}.
 * @param {string} spec
 * @returns {{ name: string, settings: Record<string, string> }}
 */
export function parseSpec(spec) {
  const [name, rest = ""] = spec.split(/:(.*)/s);
  const items = rest.split(",").filter((item) => item.includes("="));
  return { name, settings: Object.fromEntries(items.map((item) => item.split(/=(.*)/s).slice(0, 2))) };
}

/**
 * Return the spec of a stopper with its settings: the inverse of parseSpec.
 * @param {{ name: string, settings: Record<string, any> }} stopper
 */
export function formatSpec({ name, settings }) {
  const items = Object.entries(settings).map(([key, value]) => `${key}=${value ?? "none"}`);
  return items.length ? `${name}:${items.join(",")}` : name;
}
