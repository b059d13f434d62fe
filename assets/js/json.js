// @ts-check
/**
 * Return the content of one of the page's JSON files; throw an error that names the file if it cannot be loaded.
 * @param {string} file
 * @param {URL} folder
 * @returns {Promise<any>}
 */
export async function readJson(file, folder) {
  const response = await fetch(new URL(file, folder));
  if (!response.ok) throw new Error(`${file}: ${response.status}`);
  return response.json();
}
