// @ts-check
/**
 * The content of one of the page's own JSON files; fails, naming it, where it cannot be had.
 * @param {string} file
 * @param {URL} folder
 * @returns {Promise<any>}
 */
export async function readJson(file, folder) {
  const response = await fetch(new URL(file, folder));
  if (!response.ok) throw new Error(`${file}: ${response.status}`);
  return response.json();
}
