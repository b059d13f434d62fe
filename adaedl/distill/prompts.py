"""The openings of invented prompts, the held-out prompts that measure the drafter, and the topics that no
training prompt may mention."""

# Only first words: the target invents the request and its topic.
OPENINGS = (
    *("What", "What is", "What are", "What does", "How", "How do", "How can I", "How does", "Why", "Why do"),
    *("Who", "When", "Where", "Which", "Is", "Are", "Can", "Can you", "Could you", "Do", "Does", "Should"),
    *("Explain", "Describe", "Write", "Write a", "Write a short", "Create", "Create a", "List", "Give me"),
    *("Name", "Tell me", "Suggest", "Recommend", "Compare", "Define", "Plan", "Design", "Draft", "Compose"),
    *("Imagine", "Invent", "Generate", "Develop", "Propose", "Outline", "Discuss", "Analyze", "Translate"),
    *("Convert", "Rewrite", "Summarize", "Edit", "Correct", "Classify", "Identify", "Find", "Calculate"),
    *("Solve", "Help me", "I want", "I need", "I have", "I am", "I'm", "My", "We", "In", "The", "A", "If"),
    *("Please", "Hi", "Hello", "Let's", "Make", "Provide", "Show", "Teach", "Using", "For", "Write Python"),
    *("Python", "Code", "SQL", "Is it", "Are there", "What happened", "What should", "Advise", "Continue"),
)

HELD_OUT_TOPICS = (
    "lighthouse",
    "penguin",
    "curie",
    "refrigerator",
    "origami",
    "mushroom",
    "lisbon",
    "apollo",
    "dinosaur",
    "recursion",
    "chess",
    "dragon",
    "headphones",
    "honeybee",
    "hive",
    "palindrome",
    "knee",
    "drums",
    "hibernat",
    "limerick",
    "bedtime",
    "dentist",
    "norway",
    "lyon",
)

HELD_OUT_PROMPTS = (
    "Describe how a lighthouse keeper would spend a stormy night.",
    "I have leftover rice and two eggs. What can I cook tonight?",
    "Write a Python function that checks whether a string is a palindrome.",
    (
        "Summarize the following text in two sentences: The honeybee colony is organised around a single"
        " queen, thousands of workers and a few hundred drones. Workers forage for nectar and pollen, "
        "regulate the temperature of the hive and feed the larvae. When the colony grows too large, the "
        "old queen leaves with a swarm to found a new hive."
    ),
    "Translate to French: The train to Lyon leaves at half past seven.",
    "What should I pack for a week of hiking in Norway?",
    "Write a limerick about a clumsy penguin.",
    "Who was Marie Curie and what did she discover?",
    "Fix the grammar: She don't likes going to the dentist because it hurt.",
    "My neighbour plays the drums at midnight. How do I ask him politely to stop?",
    "What is 17 times 24? Show the steps.",
    "Write an SQL query that finds the five customers with the highest total order value.",
    "Draft a short press release announcing a new electric bicycle.",
    "How does a refrigerator keep food cold?",
    "Rewrite this sentence in a formal tone: hey, can't make it tomorrow, something came up.",
    "Name five animals that hibernate and describe where each one sleeps.",
    "Invent a superhero whose power is related to origami.",
    "Is it safe to eat mushrooms found in the forest?",
    "Write the opening paragraph of a detective novel set in Lisbon.",
    "Convert this list into JSON: apples 3, pears 5, plums 12.",
    "What happened during the Apollo 13 mission?",
    "Give me feedback on this sentence from my application: I am a hard worker and I like teams.",
    "Why do cats purr?",
    "Create a workout schedule for someone recovering from a knee injury.",
    "What does the phrase 'to kill two birds with one stone' mean?",
    "Write a bash one-liner that counts the lines in all .txt files.",
    "Plan a birthday party for a six year old who loves dinosaurs.",
    "How is glass made?",
    "Explain recursion with an everyday comparison.",
    "Write a product description for a pair of noise-cancelling headphones.",
    "What are the rules of chess for a complete beginner?",
    "Tell me a bedtime story about a dragon who was afraid of fire.",
)


def mentions_held_out_topic(text: str) -> bool:
    """Return whether a training prompt mentions a topic that the drafter is measured on."""
    lowered = text.lower()
    return any(topic in lowered for topic in HELD_OUT_TOPICS)
