"""Race on a running page (python app.py) from another program.

    python examples/ask_the_page.py http://127.0.0.1:7860

This program only needs gradio_client. The race runs on the machine of the page.
"""

import sys

from gradio_client import Client

ADDRESS = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:7860"

page = Client(ADDRESS, verbose=False)
race = page.submit(
    "Why is the sky blue?",
    "autoregressive,fixed:k=4,adaedl",
    temperature=0.7,
    max_new_tokens=32,
    api_name="/race",
)
for update in race:  # a few times a second
    print(update["state"], [len(lane["text"]) for lane in update["lanes"]], "characters")

for lane in update["lanes"]:
    print(f"{lane['label']:15} {lane['metrics']['speedup']:.2f}×")
print(update["lanes"][0]["text"])
