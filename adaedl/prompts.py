"""The prompts that `bench` and `check` run on: eight kinds of request.

Their topics (refrigerator, palindrome, lighthouse, Apollo 13, mushrooms, Lisbon, headphones, honeybee) are
kept out of the text that the shipped drafter is trained on, so that they measure what it does on new ones.
"""

BENCH_PROMPTS = (
    "Explain in simple terms how a refrigerator keeps food cold.",
    (
        "Write a Python function that tells whether a string is a palindrome, with a docstring and two "
        "examples."
    ),
    "Write a short story about a lighthouse keeper who finds a message in a bottle.",
    (
        "Summarise this paragraph in two sentences. Apollo 13 was launched in April 1970 and was meant to "
        "land on the Moon. Two days into the flight an oxygen tank in the service module exploded, and the "
        "crew lost much of their power and water. They moved into the lunar module, flew around the Moon, "
        "and used its engine to return to Earth, where they landed safely after almost six days."
    ),
    (
        "Rewrite this message so that it is polite and formal: hey, the mushrooms you sold me on Monday "
        "were rotten, give me my money back or I'm never buying from you again."
    ),
    "List eight things to see or do on a weekend in Lisbon, each with one sentence about it.",
    "My headphones only play sound on the left side. What should I try before I buy new ones?",
    (
        "A honeybee hive makes 1.5 kg of honey a week, and the beekeeper leaves a third of it to the bees. "
        "How many 500 g jars can she fill in 12 weeks? Work it out step by step."
    ),
)
