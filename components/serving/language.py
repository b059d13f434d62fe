"""The language and theme that gradio uses in a browser: those chosen in the page's header, otherwise the
browser's own, or English.

gradio knows zh-CN and zh-TW, and shows any other Chinese, such as plain zh, in English. In a language that
the page lacks, gradio would mix its own labels with English ones and declare that language as the page's. It
asks the browser before any script of the page runs, so this script is the first thing in the head
(page_head.py).
"""

# zh-Hant, zh-HK and zh-MO write traditional characters.
SCRIPT = """<script>
{
  const read = (name) => {
    try {
      return localStorage.getItem(name);
    } catch {
      return null; // a frame without storage
    }
  };
  const chosen = read("adaedl-language");
  if (chosen) Object.defineProperty(navigator, "language", { value: chosen, configurable: true });
  if (!/^(en|zh)\\b/i.test(navigator.language)) {
    Object.defineProperty(navigator, "language", { value: "en", configurable: true });
  }
  if (/^zh\\b/i.test(navigator.language) && !["zh-CN", "zh-TW"].includes(navigator.language)) {
    const value = /hant|hk|mo|tw/i.test(navigator.language) ? "zh-TW" : "zh-CN";
    Object.defineProperty(navigator, "language", { value });
  }
  const ask = window.matchMedia.bind(window);
  window.matchMedia = (query) => {
    const answer = ask(query);
    const theme = query === "(prefers-color-scheme: dark)" && read("adaedl-theme");
    if (theme) Object.defineProperty(answer, "matches", { value: theme === "dark" });
    return answer;
  };
}
</script>"""
