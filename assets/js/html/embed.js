// @ts-check
// In a frame, html.css decides what the file shows. There is no full page to link to.

export const embed = () => undefined;
