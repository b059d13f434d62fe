// Made by tests/page_types.py from adaedl/replay/recording.py, which says what each field is.

import type { PairInfo } from "./trace.d.ts";
import type { SamplingInfo } from "./trace.d.ts";
import type { Times } from "./trace.d.ts";

export interface Chain {
  ids: number[];
  q: number[];
  entropy: number[];
  top_prob: number[];
  margin: number[];
  token_prob: number[];
  gap: number[];
  p: number[];
  beta: number[];
}

export interface Recording {
  created: string;
  versions: Record<string, string>;
  device: string;
  dtype: string;
  pair: PairInfo;
  prompt: string;
  prompt_tokens: number;
  max_new_tokens: number;
  seed: number;
  sampling: SamplingInfo;
  depth: number;
  score_temperature: number | null;
  token_ids: number[];
  target_p: number[];
  target_gap: number[];
  eos_ids: number[];
  text: string;
  texts: Record<string, string>;
  chains: Chain[];
  times: Times;
  plain_s: number;
  recording_s: number;
  probed: number;
  probed_alike: number;
  noise_version: number;
  verification: "speculative" | "shared_noise";
  schema: string;
  pieces: string[];
  token_bytes: Record<string, string>;
}
