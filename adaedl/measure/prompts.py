"""The prompts of `bench` and `check`, eight different requests, and the prompts of `sweep`, by kind of text.

The topics of these eight (refrigerator, palindrome, lighthouse, Apollo 13, mushrooms, Lisbon, headphones,
honeybee) do not occur in the training text of the shipped drafter, so that they test it on new topics.
"""

from adaedl.errors import Sentence

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

# The prompts of `sweep`: kinds of text whose next token is more or less certain. They avoid the topics above
# and the topics in distill/prompts.py that measure the drafter.
CHAT = (
    "What is the difference between a crocodile and an alligator?",
    "How can I fall asleep faster without taking anything?",
    "Explain how a solar panel turns light into electricity.",
    "My sourdough bread comes out too dense. What might I be doing wrong?",
    "Give me five tips for a first job interview.",
    "Why is the sea salty when rivers are not?",
    "Which houseplants survive in a dark room?",
    "How do noise levels in a city affect people's health?",
    "What should I ask before I rent a flat?",
    "Explain compound interest to a teenager, with one example.",
    "Is it better to learn guitar or piano first? Compare them.",
    "What are three arguments for and three against a four-day working week?",
    "How does a vaccine teach the body to fight a virus?",
    "My bicycle chain keeps slipping off. How do I fix it?",
    "Recommend a simple weekly meal plan for one person who does not eat meat.",
    "How do I remove red wine from a white shirt?",
    "What causes thunder, and why does it come after the lightning?",
    "I often forget people's names. What can I do about it?",
    "What is inflation and who is hurt by it most?",
    "Describe the rules of volleyball in a few sentences.",
)
SUMMARY = (
    (
        "Summarise in two sentences: The city council voted on Tuesday to close the old market hall for "
        "repairs. Engineers had found cracks in two of the iron columns last winter. The forty traders will"
        " move to tents on the square until the work ends, which is planned for next autumn. Some of them "
        "fear that customers will not follow, and ask for lower rents."
    ),
    (
        "Summarise in one sentence: Coral reefs cover less than one percent of the ocean floor, yet about a"
        " quarter of all marine species depend on them. Rising water temperatures make corals expel the "
        "algae that feed them, and without the algae they starve within weeks."
    ),
    (
        "Give the main points as a list: The meeting began with the budget. Anna reported that travel costs"
        " were eight percent above plan. Tom proposed to hold every second workshop online. It was agreed "
        "to try this until June and to decide then. The new website will be shown in March."
    ),
    (
        "Summarise for a busy reader: The violin maker used spruce for the top because it is light and "
        "stiff, and maple for the back because it reflects sound. He tapped each plate and listened while "
        "he carved it. A plate that rang too high was thinned by hairs, and he kept notes on every "
        "instrument for fifty years."
    ),
    (
        "Summarise in two sentences: A study followed three thousand adults over ten years and asked how "
        "often they walked. Those who walked at least half an hour a day had fewer heart attacks than those"
        " who did not. The authors warn that people who walk more may also eat and sleep better."
    ),
    (
        "Write a headline and one sentence: A storm tore the roof off a school gym in the night from Sunday"
        " to Monday. Nobody was hurt. Lessons go on in the town hall, and parents have offered to help with"
        " repairs at the weekend."
    ),
    (
        "Summarise this email in one line: Dear all, the lift in building C is out of order again. The "
        "repair firm waits for a part from abroad and expects it on Thursday. Please use the stairs or the "
        "lift in building B until then. Kind regards, facilities."
    ),
    (
        "Summarise in two sentences: Rice was first grown along the Yangtze about nine thousand years ago. "
        "Farmers learned to flood the fields, which keeps weeds away. From there it spread over Asia, and "
        "today it feeds more than half of all people."
    ),
    (
        "What are the three most important facts here? The bridge is 412 metres long and was opened in "
        "1931. It carries sixty thousand cars a day, four times what it was built for. The steel is sound, "
        "but the road deck must be replaced, and that will take two summers."
    ),
    (
        "Summarise in one sentence: Bees are not the only insects that pollinate. Hoverflies, moths and "
        "beetles carry pollen too, some of them at night, and farms that leave strips of wild flowers have "
        "more of them."
    ),
    (
        "Summarise the plot in two sentences: Two sisters inherit a failing bookshop from an aunt they "
        "never met. One wants to sell it, the other to keep it. In the cellar they find letters that show "
        "why their mother broke with the aunt, and in the end they open it again together."
    ),
    (
        "Condense to half the length: In order to make sure that everybody is able to take part in the "
        "excursion, we would like to kindly ask all of you to let us know at your earliest convenience "
        "whether you have any allergies or other needs that we should take into account when we order "
        "lunch."
    ),
    (
        "Summarise in two sentences: The printing press made books cheap. Before it, a scribe needed months"
        " for a single copy, and a book cost as much as a house. Within fifty years of its invention there "
        "were printers in more than two hundred towns, and ideas travelled faster than those in power could"
        " follow."
    ),
    (
        "Summarise the advice: When you plant a tree, dig a hole twice as wide as the roots but no deeper. "
        "Loosen the sides. Set the tree so that the base of the trunk is level with the ground, fill in the"
        " soil, water it well, and keep grass away from it for two years."
    ),
    (
        "Write a summary of one sentence: Electric buses cost about twice what diesel buses cost to buy. "
        "They are cheaper to run, so that the difference is made up after seven years, or sooner where "
        "power is cheap."
    ),
    (
        "Summarise in two sentences: Volcanic ash can stop jet engines, because it melts in the heat and "
        "settles on the blades. In 2010 an eruption in Iceland closed much of Europe's airspace for six "
        "days. Since then satellites measure ash clouds and pilots are told where it is safe to fly."
    ),
    (
        "Say in one sentence what was decided: We talked about the summer festival for an hour. Mia would "
        "like it in July, Paul in August because of the holidays. As the park is only free on the second "
        "weekend in August, we took that one, and Mia will ask the band."
    ),
    (
        "Summarise in two sentences: Glaciers in the Alps have lost half of their volume since 1900. They "
        "feed rivers in dry summers, when farmers and power stations need water most. Without them, rivers "
        "will carry more water in spring and less in August."
    ),
    (
        "List the steps in short: First soak the beans overnight. Drain them, cover them with fresh water, "
        "add a bay leaf and cook them gently for an hour. Fry onions and garlic, add tomatoes, then the "
        "beans, and let everything simmer until it is thick. Salt it only at the end."
    ),
    (
        "Summarise in one sentence: A museum in the north has returned twelve carved masks to the people "
        "they were taken from in 1897. Both sides signed an agreement under which some of them will be "
        "shown in both places."
    ),
)
TRANSLATION = (
    "Translate into French: Where is the nearest train station?",
    "Translate into Spanish: I would like two coffees and a glass of water, please.",
    "Translate into German: The weather was so bad that we stayed at home.",
    "Translate into Italian: My grandmother bakes bread every Saturday.",
    "Translate into Portuguese: The museum is closed on Mondays.",
    "Translate into French: We have been waiting for the bus for twenty minutes.",
    "Translate into Spanish: Can you tell me how much this costs?",
    "Translate into German: She has lived in this city since she was ten years old.",
    "Translate into English: Je ne trouve pas mes clés, est-ce que tu les as vues ?",
    "Translate into English: El tren sale a las ocho y llega a mediodía.",
    "Translate into English: Ich habe gestern einen alten Freund getroffen.",
    "Translate into Italian: The children are playing in the garden behind the house.",
    "Translate into French: If I had more time, I would learn to paint.",
    "Translate into Spanish: The doctor said that I should drink more water.",
    "Translate into German: Please send me the invoice by the end of the week.",
    "Translate into Dutch: The library opens at nine in the morning.",
    "Translate into Portuguese: They bought a small boat and sailed along the coast.",
    "Translate into English: La biblioteca chiude alle sette di sera.",
    "Translate into French, one line each: Good morning. Thank you very much. See you tomorrow. Good luck.",
    "Translate into Spanish: The red car in front of the school belongs to our teacher.",
)
CODE = (
    "Write a Python function that returns the prime numbers below n, with a docstring.",
    "Write a JavaScript function that debounces another function.",
    "Write a Python class Stack with push, pop and peek, and show how it is used.",
    "Write an SQL query that counts the orders of each customer in 2023.",
    "Write a Python function that merges two sorted lists into one.",
    "Write a Java method that computes the factorial of n.",
    "Write a Python script that reads a CSV file and prints the mean of each column.",
    "Write a C function that reverses a string in place.",
    "Write a regular expression for dates such as 2024-05-17 and explain its parts.",
    "Write a Python decorator that measures how long a function takes.",
    "Write HTML for a form with a name, an email address and a button.",
    "Write a Python function that counts the words in a text and returns the ten most frequent.",
    "Write a bash script that renames all .jpeg files in a folder to .jpg.",
    "Write a function in Go that returns the largest value of a slice of integers.",
    "Write a Python test with pytest for a function add(a, b).",
    "Write CSS that centres a box in the middle of the page.",
    "Write a Python function that does a binary search and returns the index or -1.",
    "Write a TypeScript interface for a blog post with a title, an author and tags.",
    "Write a Python generator that yields the Fibonacci numbers.",
    "Write a Dockerfile for a small Flask app and comment each line.",
)
STORY = (
    "Write a short story about a clockmaker who finds a clock that runs backwards.",
    "Write the beginning of a story set on the last train of the night.",
    "Tell a story about a girl who can hear what trees say.",
    "Write a short story in which a letter arrives forty years late.",
    "Write a fable about a proud peacock and a patient snail.",
    "Tell a story about two neighbours who share a wall and a secret.",
    "Write the opening of a science fiction story on a mining station near Saturn.",
    "Write a story about a baker whose bread makes people tell the truth.",
    "Tell the story of a lost umbrella that changes owners five times.",
    "Write a ghost story that ends happily.",
    "Write a short story about a boy who builds a boat out of doors.",
    "Tell a story about a violin that plays only at full moon.",
    "Write a scene between a king and the gardener who will not bow.",
    "Write a story about a robot that learns to grow tomatoes.",
    "Tell a story about the smallest cloud in the sky.",
    "Write a short detective story about a stolen recipe.",
    "Write a story about a village where it has not rained for seven years.",
    "Tell a story about a postman who reads one letter too many.",
    "Write a story about a fox and a crow who open a shop together.",
    "Write the last page of a diary kept on a desert island.",
)
PROMPT_SETS = {
    "chat": CHAT,
    "summary": SUMMARY,
    "translation": TRANSLATION,
    "code": CODE,
    "story": STORY,
}


def split_prompts(text: str) -> list[str]:
    """Return the prompts of a list with one prompt per line, without blank lines.

    Only a line feed ends a line. Other line boundaries of Unicode, such as a form feed or U+2028, are part of
    a prompt.
    """
    lines = (line.strip(" \t\r") for line in text.removeprefix("\ufeff").split("\n"))
    return [line for line in lines if line.strip()]


def repeats_in(prompts: list[str]) -> Sentence | None:
    """Return a sentence with the number of prompts that repeat an earlier one, or None if all are
    distinct."""
    repeated = len(prompts) - len(set(prompts))
    if not repeated:
        return None
    if repeated == 1:
        return Sentence("1 of {} prompts is repeated; it is run once.", len(prompts))
    return Sentence("{} of {} prompts are repeated; each is run once.", repeated, len(prompts))
