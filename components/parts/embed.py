"""?embed=1: only the player, for a frame on another page (assets/js/embed.js). The host decides which pages
may frame it (components/settings/hosting.py)."""

# In the page's head, so that a frame never shows the rest of the page while it loads. assets/js/embed.js then
# marks the rest as unembedded.
EMBED_HEAD = """<script>
  if (new URLSearchParams(location.search).get("embed") === "1") document.documentElement.dataset.embed = "";
</script>
<style>
  [data-embed] .gradio-container { visibility: hidden; }
  [data-embed] #player { visibility: visible; }
  [data-embed] :is([data-unembedded], #player :is(.time-settings, .legend, .speed)) {
    display: none !important;
  }
  [data-embed] #player .embed-link { margin: 0 0 0.3rem; text-align: right; font-size: 0.95rem; }
  [data-embed] #player .embed-link a { color: var(--tape-accepted); text-decoration: underline; }
</style>"""
