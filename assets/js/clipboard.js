// @ts-check
/**
 * Copy a text and put `words` into `note`. Without a clipboard (an insecure address, a refusal), put `field`, which
 * contains the text, there instead, so that the visitor can copy it by hand.
 * @param {string} text
 * @param {Element} note
 * @param {string} words
 * @param {HTMLInputElement | HTMLTextAreaElement} field
 */
export async function copyText(text, note, words, field) {
  try {
    await navigator.clipboard.writeText(text);
    note.replaceChildren(words);
  } catch {
    note.replaceChildren(field);
    field.select();
  }
}
