"""Measure in the browser how fast Explore's sliders respond, for components.bench."""

import re

from playwright.sync_api import Locator, Page, expect

# Moves every slider over its range and waits for the frame that shows each move. Measures the duration of
# each move and of the browser's tasks, including the tasks that then draw the curves.
MOVE = """async () => {
  const root = document.querySelector("#explore .explore");
  const frame = () => new Promise(requestAnimationFrame);
  const curves = async () => {
    while (!root.dataset.drawn.startsWith(root.dataset.curves)) await frame();
  };
  await curves();
  for (let n = 0; n < 30; n++) await frame();
  const tasks = [];
  const keep = (list) => tasks.push(...list.getEntries().map((task) => task.duration));
  const watch = new PerformanceObserver(keep);
  watch.observe({ type: "longtask" });
  const answers = {};
  for (const input of root.querySelectorAll(".sliders input[type=range]")) {
    const [low, high] = [Number(input.min), Number(input.max)];
    answers[input.name] = 0;
    for (const share of [0.05, 0.3, 0.55, 0.8, 1, 0.45]) {
      const before = root.dataset.drawn;
      const began = performance.now();
      input.value = low + share * (high - low);
      input.dispatchEvent(new Event("input"));
      while (root.dataset.drawn === before) await frame();
      answers[input.name] = Math.max(answers[input.name], performance.now() - began);
      for (let n = 0; n < 5; n++) await frame();
    }
  }
  const began = performance.now();
  await curves();
  const whole = performance.now() - began;
  for (let n = 0; n < 30; n++) await frame();
  watch.disconnect();
  return {
    tokens: Number(root.dataset.tokens),
    stoppers: root.querySelectorAll("[data-stopper]").length,
    slowest_answer_ms: answers,
    longest_task_ms: Math.max(0, ...tasks),
    curves_whole_after_ms: whole,
  };
}"""


def explore_figures(page: Page, address: str) -> dict:
    """Return, in milliseconds: the time from a slider's move to the frame that shows it, the slowest of
    several moves for each slider; the browser's longest task during the moves (0 if all were below 50 ms);
    and the time from the last move until the curves are complete again."""
    page.goto(f"{address}/#explore")
    page.wait_for_selector("#explore [data-curves]")
    menu = page.locator("#explore .recorded")
    temperature = menu.locator("[name=temperature]")
    lengths = {value: tokens_of(page, menu, value) for value in values_of(temperature)}
    tokens_of(page, menu, max(lengths, key=lengths.get))
    return page.evaluate(MOVE)


def values_of(menu: Locator) -> list[str]:
    """Return the values of a menu's options."""
    return [option.get_attribute("value") for option in menu.locator("option").all()]


def tokens_of(page: Page, menu: Locator, temperature: str) -> int:
    """Show the recording at a temperature and return the number of tokens of its text."""
    menu.locator("[name=temperature]").select_option(temperature)
    expect(menu).to_have_attribute("data-file", re.compile(rf"-t{re.escape(temperature)}\.json$"))
    return int(page.locator("#explore .explore").get_attribute("data-tokens"))
