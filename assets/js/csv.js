// @ts-check
// CSV in the form of adaedl/system/csv_text.py, in which a spreadsheet takes no text for a formula. No DOM here.

/** @typedef {string | number | boolean | null | undefined} Cell */

const FORMULA = /^[=+\-@\t\r]/; // a spreadsheet takes a text with this beginning for a formula

/**
 * Format one cell; a missing value is empty.
 * @param {Cell} value
 */
function csvCell(value) {
  const text = typeof value === "string" && FORMULA.test(value) ? `'${value}` : String(value ?? "");
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/**
 * Return rows of cells as the content of a file.
 * @param {Cell[][]} rows
 */
export const csvText = (rows) => rows.map((row) => row.map(csvCell).join(",") + "\n").join("");

/**
 * Split a CSV file into its records, unparsed; a line feed within quotation marks does not end a record.
 * @param {string} text
 */
export function csvRecords(text) {
  const records = [];
  let record = "";
  for (const line of text.split(/(?<=\n)/)) {
    record += line;
    if ((record.split('"').length - 1) % 2) continue;
    records.push(record.replace(/\n$/, ""));
    record = "";
  }
  return record ? [...records, record] : records;
}

/**
 * Append a column at the right of a table.
 * @param {string} text  of the table, with a header
 * @param {string} name
 * @param {Cell[]} values  one for each row
 */
export function withColumn(text, name, values) {
  const [head, ...rows] = csvRecords(text);
  const lines = rows.map((row, number) => `${row},${csvCell(values[number])}`);
  return [`${head},${name}`, ...lines].join("\n") + "\n";
}
