import assert from "node:assert/strict";
import { test } from "node:test";
import { decimal } from "../../assets/js/decimal.js";

test("a negative number has a minus sign instead of a hyphen", () => {
  assert.equal(decimal(-0.0512, 2), "−0.05");
  assert.equal(decimal(1.5, 1), "1.5");
});

test("a number that rounds to zero has no sign", () => {
  assert.equal(decimal(-0.001, 2), "0.00");
});
