// @ts-check
// Formulas as MathML, which browsers draw themselves.
//
//     formula("β =", sum("x"), "min(p(x), q(x)) = 1 −", "TVD(p, q)")
//
// A text is read symbol by symbol: numbers, names of letters and operators; everything else is built by the
// functions below.

const MATHML = "http://www.w3.org/1998/Math/MathML";
const SYMBOL = /\d+(?:\.\d+)?×?|[A-Za-z]+|\p{L}[*′]?|[^\s]/gu;

function node(tag, ...children) {
  const made = document.createElementNS(MATHML, tag);
  made.append(...children);
  return made;
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
/** Values with the condition that each has, below one another; a condition that is no formula is a node. */
export function cases(...lines) {
  const cells = (parts) => parts.map((part) => node("mtd", row(part)));
  return node("mtable", ...lines.map((line) => node("mtr", ...cells(line))));
}

/** Words in a formula. */
export const words = (text) => node("mtext", text);
export const sum = (over) => node("munder", row("∑"), row(over));

/** A formula on a line of its own. */
export function formula(...parts) {
  const math = node("math", row(...parts));
  math.setAttribute("display", "block");
  return math;
}
