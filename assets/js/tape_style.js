// @ts-check
// The style of a tape, on the page and in a saved SVG (where save.js fills in the variables). A token's mark and shape
// show its kind; the colour only repeats it.

export const TAPE_STYLE = `
.tape-round text { font-family: system-ui, sans-serif; fill: var(--tape-text); }
.tape-round .frame { fill: var(--tape-round); stroke: var(--tape-line); stroke-width: 1; }
.tape-round .grid { stroke: var(--tape-line); stroke-width: 1; }
.tape-round .title { font-size: 11px; fill: var(--tape-soft); }
.tape-round .label { font-size: 19px; font-weight: 550; text-anchor: middle; white-space: pre; unicode-bidi: plaintext; }
.tape-round .mark { font-size: 14px; font-weight: 700; text-anchor: middle; }
.tape-round .box { fill: transparent; stroke: var(--tape-soft); stroke-width: 1.2; stroke-dasharray: 2 3; }
.tape-round .under { stroke: none; stroke-width: 3.5; }
.tape-round .strike { stroke: none; stroke-width: 2; }

.tape-round [data-state$="accepted"] .box { stroke: none; }
.tape-round [data-state$="accepted"] .under { stroke: var(--tape-accepted); }
.tape-round [data-state$="accepted"] .mark { fill: var(--tape-accepted); }
.tape-round [data-state$="rejected"] .box { stroke: var(--tape-rejected); stroke-dasharray: none; stroke-width: 1.5; }
.tape-round [data-state$="rejected"] .strike { stroke: var(--tape-rejected); }
.tape-round [data-state$="rejected"] .mark { fill: var(--tape-rejected); }
.tape-round [data-state="rejected"] .label, .tape-round [data-state="discarded"] .label { font-size: 14px; font-weight: 400; }
.tape-round [data-state="discarded"] .box { stroke: none; }
.tape-round [data-state="discarded"] .strike { stroke: var(--tape-soft); stroke-width: 1.5; }
.tape-round [data-state="discarded"] .label, .tape-round [data-state="discarded"] .mark { fill: var(--tape-soft); }
.tape-round [data-state="correction"] .box { stroke: var(--tape-correction); stroke-width: 2.5; stroke-dasharray: none; fill: var(--tape-correction-fill); }
.tape-round [data-state="correction"] .mark { fill: var(--tape-correction); }
.tape-round [data-state="bonus"] .box { stroke: var(--tape-bonus); stroke-width: 2.5; stroke-dasharray: 6 3; fill: var(--tape-bonus-fill); }
.tape-round [data-state="bonus"] .mark { fill: var(--tape-bonus); }
.tape-round [data-state="plain"] .box { stroke: none; }

.tape-round .entropy { fill: var(--tape-entropy); }
.tape-round .bound { fill: none; stroke: var(--tape-bound); stroke-width: 3; }
.tape-round .score { fill: none; stroke: var(--tape-score); stroke-width: 2.5; stroke-dasharray: 2 2; }
.tape-round .threshold { stroke: var(--tape-threshold); stroke-width: 2.5; stroke-dasharray: 7 4; }
.tape-round .beta { fill: var(--tape-beta); stroke: var(--tape-round); stroke-width: 1.2; }
.tape-round [data-state="discarded"] .beta { fill: none; stroke: var(--tape-soft); stroke-width: 1.5; }
.tape-round .gap { stroke: none; stroke-width: 6; stroke-linecap: round; }
.tape-round .stops .gap, .tape-round [data-state="comparing"] .gap.below { stroke: var(--tape-stop); }
.tape-round [data-state="comparing"] .gap { stroke: var(--tape-accepted); }
.tape-round .stop line { stroke: var(--tape-stop); stroke-width: 4; }
.tape-round .stop[data-reason="max_draft"] line, .tape-round .stop[data-reason="length"] line { stroke: var(--tape-soft); stroke-width: 2; }
.tape-round .stop text { font-size: 13px; font-weight: 700; text-anchor: middle; }

.tape-round [data-state="absent"], .tape-round [data-state="drafting"] .chart { display: none; }
.tape-round [data-state="drafting"] .beta, .tape-round [data-state="comparing"] .beta,
.tape-round [data-state="scored"] .beta, .tape-round [data-state="verifying"] .beta { display: none; }
`;
