// The exports and imports of all modules.

import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { test } from "node:test";

const PROJECT = new URL("../../", import.meta.url);
const MOUNTED = ["mount"]; // called by gr.HTML components (components/parts/assets.py)

async function sources(folder, ending) {
  const names = await readdir(new URL(folder, PROJECT), { recursive: true });
  const files = names.filter((name) => name.endsWith(ending)).map((name) => `${folder}${name}`);
  return Promise.all(
    files.map(async (file) => ({ file, text: await readFile(new URL(file, PROJECT), "utf8") })),
  );
}

const modules = await sources("assets/js/", ".js");

test("every export is used in another file", async () => {
  const users = [
    ...modules,
    ...(await sources("components/", ".py")),
    ...(await sources("tests/", ".py")),
    ...(await sources("tests/js/", ".test.js")),
  ];
  const files = new Map(); // word → the files that contain it
  for (const { file, text } of users) {
    for (const word of new Set(text.match(/\w+/g))) files.set(word, [...(files.get(word) ?? []), file]);
  }
  const unused = modules.flatMap(({ file, text }) => {
    const exported = [...text.matchAll(/^export (?:async )?(?:const|let|class|function\*?) (\w+)/gm)];
    const names = exported.map(([, name]) => name).filter((name) => !MOUNTED.includes(name));
    return names.filter((name) => files.get(name).length === 1).map((name) => `${file}: ${name}`);
  });
  assert.deepEqual(unused, []);
});

test("no imports are circular", () => {
  const imported = new Map(
    modules.map(({ file, text }) => {
      const paths = [...text.matchAll(/^(?:import|export) [^;]*?from "(\.[^"]+)"/gms)].map(
        ([, path]) => path,
      );
      return [new URL(file, PROJECT).href, paths.map((path) => new URL(path, new URL(file, PROJECT)).href)];
    }),
  );
  const name = (address) => address.slice(PROJECT.href.length);
  const cycles = [];
  const done = new Set();
  const visit = (address, path) => {
    if (path.includes(address))
      cycles.push([...path.slice(path.indexOf(address)), address].map(name).join(" → "));
    if (path.includes(address) || done.has(address)) return;
    for (const next of imported.get(address) ?? []) visit(next, [...path, address]);
    done.add(address);
  };
  for (const address of imported.keys()) visit(address, []);
  assert.deepEqual(cycles, []);
});
