// @ts-check
// Pack a long prompt for an address: deflate, then base64url.

const LONGEST_UNPACKED = 400_000; // bytes: more than the server reads of a prompt

/** Pack a text; return null in a browser that cannot. */
export async function pack(text) {
  if (!globalThis.CompressionStream) return null;
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const letters = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return btoa(letters).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Unpack a packed text; throw an error if it is cut off, damaged or too long. */
export async function unpack(packed) {
  const letters = atob(packed.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let [text, size] = ["", 0];
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    size += part.value.length;
    if (size > LONGEST_UNPACKED) throw new Error("the prompt is too long");
    text += decoder.decode(part.value, { stream: true });
  }
  return text + decoder.decode();
}
