// @ts-check
// A long prompt, packed for an address: deflated, then base64url.

const LONGEST_UNPACKED = 400_000; // bytes: more than the server reads of a prompt

/** A text, packed; null in a browser that cannot do that. */
export async function pack(text) {
  if (!globalThis.CompressionStream) return null;
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const letters = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return btoa(letters).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The inverse of `pack`. Fails where the text was cut off or damaged. */
export async function unpack(packed) {
  const letters = atob(packed.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let [text, taken] = ["", 0];
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    taken += part.value.length;
    if (taken > LONGEST_UNPACKED) throw new Error("the prompt is too long");
    text += decoder.decode(part.value, { stream: true });
  }
  return text + decoder.decode();
}
