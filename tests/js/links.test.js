import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { addressOf, isShared, link, placeNamed, settingsNamed } from "../../assets/js/address.js";
import { pack, unpack } from "../../assets/js/packing.js";

const visit = (address) => (globalThis.location = new URL(address, "http://host/app/"));
beforeEach(() => visit(""));

test("a prompt is unpacked as it was packed, and takes less room", async () => {
  const prompt = "水 water 🙂\n".repeat(100);
  const packed = await pack(prompt);
  assert.match(packed, /^[\w-]+$/);
  assert.ok(packed.length < prompt.length / 10);
  assert.equal(await unpack(packed), prompt);
});

test("a packed prompt that was cut off or damaged is refused", async () => {
  const packed = await pack("a prompt of some length, so that there is something to lose");
  for (const damaged of [packed.slice(0, packed.length / 2), "?", `a${packed.slice(1)}`]) {
    await assert.rejects(unpack(damaged));
  }
});

test("a packed prompt of many megabytes is not unpacked", async () => {
  await assert.rejects(unpack(await pack("a".repeat(500_000))), /too long/);
});

test("a place stands alone behind the #, or before settings", () => {
  visit("#learn-3");
  assert.equal(placeNamed(), "learn-3");
  assert.equal(isShared(), false);
  visit("#explore&prompt=Hi&seed=3");
  assert.equal(placeNamed(), "explore");
  assert.equal(settingsNamed().get("seed"), "3");
  visit("#prompt=Hi");
  assert.equal(placeNamed(), "");
  assert.equal(isShared(), true);
});

test("links of earlier versions have their settings in the query", () => {
  visit("?prompt=Hi&seed=3&other=1");
  assert.equal(settingsNamed().toString(), "prompt=Hi&seed=3");
  assert.equal(addressOf("", settingsNamed()).href, "http://host/app/?other=1#prompt=Hi&seed=3");
});

test("a link holds the settings that were given, this page's pair and the version of the noise", () => {
  visit("#pair=tiny");
  const { href } = link({ prompt: "Hi & bye", seed: "18446744073709551615", temperature: null });
  assert.equal(href, "http://host/app/#prompt=Hi+%26+bye&pair=tiny&seed=18446744073709551615&noise=2");
  assert.match(link({ prompt: "Hi", noise: 1 }).href, /noise=1$/);
});
