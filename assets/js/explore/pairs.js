// @ts-check
// Common pairs of models, with the cost ratio that their sizes suggest. No DOM here.

// Parameters in billions, from the model cards. A small model is slower than its size suggests if launching its layers
// takes longer than reading its weights.
/** @type {[string, number, number][]} */
const BILLIONS = [
  ["SmolLM2 135M / 1.7B", 0.1345, 1.71],
  ["Qwen2.5 0.5B / 7B", 0.49, 7.61],
  ["Qwen2.5 0.5B / 14B", 0.49, 14.7],
  ["Pythia 70M / 6.9B", 0.0704, 6.857],
  ["Llama 3.2 1B / 3.1 8B", 1.24, 8.03],
];

/** [{name, draft, target, c}]: the parameters of both models in billions, and their ratio. */
export const PAIRS = BILLIONS.map(([name, draft, target]) => ({ name, draft, target, c: draft / target }));
