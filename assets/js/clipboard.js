// @ts-check
/**
 * Copy a text and say so in `note`. Without a clipboard (an insecure address, a refusal) `field`, which holds the
 * text, is put there to be copied by hand.
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
