import assert from "node:assert/strict";
import { test } from "node:test";
import { formatSpec, parseSpec } from "../../assets/js/lane_spec.js";
import * as editor from "../../assets/js/lanes_editor/state.js";

const LANES = ["autoregressive", "fixed:k=2", "adaedl"];
const editing = (number) => ({ ...editor.closedWith(LANES), edited: number });

test("a spec survives parsing and formatting", () => {
  for (const spec of ["autoregressive", "fixed:k=2", "adaedl:threshold=0.5,adapt=false"]) {
    assert.equal(formatSpec(parseSpec(spec)), spec);
  }
  assert.deepEqual(parseSpec("adaedl:threshold=0.5"), { name: "adaedl", settings: { threshold: "0.5" } });
  assert.equal(
    formatSpec({ name: "adaedl", settings: { score_temperature: null } }),
    "adaedl:score_temperature=none",
  );
});

test("pressing a lane opens its form, and pressing it again closes it", () => {
  const open = editor.toggleForm(editor.closedWith(LANES), 1);
  assert.equal(editor.isOpen(open, 1), true);
  assert.equal(editor.toggleForm(open, 1).edited, null);
  assert.equal(editor.toggleForm(editor.toggleMenu(open), 1).adding, false);
});

test("an added lane opens its form if it has settings", () => {
  const added = editor.add(editor.closedWith(LANES), "svip", true);
  assert.deepEqual(added, { specs: [...LANES, "svip"], edited: 3, adding: false });
  assert.equal(editor.add(editor.closedWith(LANES), "autoregressive", false).edited, null);
});

test("removing a lane closes every form", () => {
  assert.deepEqual(editor.remove(editing(2), 0), { specs: LANES.slice(1), edited: null, adding: false });
});

test("a duplicate follows its lane and opens its form", () => {
  const { specs, edited } = editor.duplicate(editing(1), 1);
  assert.deepEqual(specs, ["autoregressive", "fixed:k=2", "fixed:k=2", "adaedl"]);
  assert.equal(edited, 2);
});

test("an open form stays with its lane when lanes are moved", () => {
  for (const [from, to] of [
    [0, 2],
    [2, 0],
    [0, 1],
    [1, 0],
    [1, 2],
    [2, 1],
  ]) {
    for (const edited of [0, 1, 2]) {
      const moved = editor.move(editing(edited), from, to);
      assert.equal(moved.specs[to], LANES[from]);
      assert.equal(moved.specs[moved.edited], LANES[edited]);
    }
  }
  assert.equal(editor.move(editing(null), 0, 2).edited, null);
});

test("a lane cannot move past the ends", () => {
  const state = editing(0);
  assert.equal(editor.move(state, 0, -1), state);
  assert.equal(editor.move(state, 2, 3), state);
});
