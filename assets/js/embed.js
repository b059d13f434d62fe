// @ts-check
// ?embed=1: only the player, for a frame on another page. The script in the page's head (components/parts/embed.py)
// marks the document before anything is drawn.

import { addressOfRace, isEmbedded, raceAsked } from "./lecture/address.js";
import { make, mark } from "./make.js";
import { t } from "./text.js";

/** In a frame, hide everything except the player's component, and add a link to the whole page above it. */
export function embed(player) {
  if (!isEmbedded()) return;
  for (let node = player; node !== document.body; node = node.parentElement) {
    for (const other of node.parentElement.children) if (other !== node) mark(other, "unembedded", true);
  }
  document.documentElement.dataset.embed = "ready";
  const link = make("a", { href: addressOfRace(raceAsked() ?? "").href, target: "_blank", rel: "noopener" });
  link.textContent = t("embed.open");
  player.prepend(make("p", { className: "embed-link" }, link));
}
