// @ts-check
// Formulas as MathML, which browsers render natively.
//
//     formula("β =", sum("x"), "min(p(x), q(x)) = 1 −", "TVD(p, q)")
//
// A string is split into symbols: numbers, identifiers and operators. The functions below build everything else.

const MATHML = "http://www.w3.org/1998/Math/MathML";
const SYMBOL = /\d+(?:\.\d+)?×?|[A-Za-z]+|\p{L}[*′]?|[^\s]/gu;

function node(tag, ...children) {
  const element = document.createElementNS(MATHML, tag);
  element.append(...children);
  return element;
}

function symbols(text) {
  return (text.match(SYMBOL) ?? []).map((symbol) => {
    const tag =
      /^\d/.test(symbol) ? "mn"
      : /^\p{L}/u.test(symbol) ? "mi"
      : "mo";
    return node(tag, symbol);
  });
}

const row = (...parts) =>
  node("mrow", ...parts.flat().flatMap((part) => (typeof part === "string" ? symbols(part) : [part])));

export const fraction = (above, below) => node("mfrac", row(above), row(below));
export const root = (...parts) => node("msqrt", row(...parts));
export const below = (base, index) => node("msub", row(base), row(index));
export const power = (base, exponent) => node("msup", row(base), row(exponent));
export const group = (...parts) => row("(", ...parts, ")");

/** Return lines of a value and its condition; a condition in words is a node. */
export function cases(...lines) {
  const cells = (parts) => parts.map((part) => node("mtd", row(part)));
  return node("mtable", ...lines.map((line) => node("mtr", ...cells(line))));
}

/** Return words in a formula. */
export const words = (text) => node("mtext", text);
export const sum = (over) => node("munder", row("∑"), row(over));

/** Return a formula on its own line. */
export function formula(...parts) {
  const math = node("math", row(...parts));
  math.setAttribute("display", "block");
  return math;
}
