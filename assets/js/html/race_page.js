// @ts-check
// The file is itself the page that ../race_page.js would save.

export const racePage = null;
