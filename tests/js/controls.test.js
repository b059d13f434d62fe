import assert from "node:assert/strict";
import { test } from "node:test";
import { lane, round, trace } from "./traces.js";

// A page that was reloaded after the visitor had typed into the prompt.
const listeners = [];
Object.assign(globalThis, {
  location: new URL("http://host/#prompt=raced"),
  sessionStorage: {
    getItem: () => JSON.stringify({ race: "id", prompt: "typed" }),
    setItem() {},
    removeItem() {},
  },
  addEventListener() {},
  requestAnimationFrame() {},
});
Object.assign(globalThis.document, {
  querySelector: () => null,
  addEventListener: (event, act) => event === "adaedl:opened" && listeners.push(act),
});
const { mount, restorePrompt } = await import("../../assets/js/controls.js");

test("a typed prompt survives a reload, although the previous race is shown first", () => {
  const props = { value: "" };
  mount({ props, trigger() {} });
  const raced = trace([lane("adaedl", [round([1], 1, 2)])], { prompt: "raced", pair: { name: "tiny" } });
  listeners.forEach((act) => act({ detail: { trace: raced, source: "race" } }));
  restorePrompt();
  assert.equal(JSON.parse(props.value)[0], "typed");
});
