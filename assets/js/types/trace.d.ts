// Made by tests/page_types.py from adaedl/trace.py, which says what each field is.

export interface DraftedToken {
  id: number;
  text: string;
  entropy: number;
  bound: number;
  score: number | null;
  threshold: number | null;
  top_prob: number;
  q: number;
  p: number | null;
  beta: number | null;
  u: number | null;
  accepted: boolean;
  target_id: number | null;
  target_text: string | null;
  top_q: [number, string, number][];
  top_p: [number, string, number][];
}

export interface Emitted {
  id: number;
  text: string;
  kind: "correction" | "bonus" | "plain";
  p: number | null;
  top_p: [number, string, number][];
  u: number | null;
  top_residual: [number, string, number][];
}

export interface Lane {
  stopper: string;
  settings: Record<string, number | boolean | string | null>;
  label: string;
  rounds: Round[];
  token_ids: number[];
  text: string;
  metrics: LaneMetrics | null;
  pieces: string[];
  text_difference: TextDifference | null;
}

export interface LaneMetrics {
  tokens: number;
  tokens_per_s: number | null;
  ms_per_token: number | null;
  speedup: number | null;
  acceptance_rate: number | null;
  draft_length: number | null;
  block_efficiency: number | null;
  mean_beta: number | null;
  cost_ratio: number | null;
  draft_share: number | null;
  verify_share: number | null;
  wasted_share: number | null;
  overhead_share: number | null;
  same_text: boolean | null;
  timing_reliable: boolean | null;
  timing_note: "one_token" | "irregular" | "beyond_block_efficiency" | "baseline" | null;
}

export interface PairInfo {
  name: string;
  target: string;
  draft: string;
  weights: string;
  tuned: string | null;
}

export interface Round {
  start_s: number;
  duration_s: number;
  draft_s: number;
  verify_s: number;
  accepted: number;
  stop_reason: "threshold" | "max_draft" | "eos" | "length";
  drafted: DraftedToken[];
  emitted: Emitted | null;
  dropped: number;
}

export interface SamplingInfo {
  temperature: number;
  top_k: number;
  top_p: number;
}

export interface TextDifference {
  position: number;
  ours: number;
  theirs: number;
  ours_text: string;
  theirs_text: string;
  gap: number | null;
  rounding: boolean | null;
}

export interface Times {
  verify_s: number[];
  first_draft_s: number;
  next_draft_s: number;
  plain_overhead_s: number;
  round_overhead_s: number;
  draft_overhead_s: number;
}

export interface Trace {
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
  verification: "speculative" | "shared_noise";
  lanes: Lane[];
  noise_version: number;
  schema: string;
  top_lists: "all" | "judged" | "none";
  token_bytes: Record<string, string>;
  threads: number | null;
  expected_times: Times | null;
}
