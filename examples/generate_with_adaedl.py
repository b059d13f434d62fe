"""AdaEDL in transformers' own `generate`, with any two models that share a tokenizer.

python examples/generate_with_adaedl.py
python examples/generate_with_adaedl.py Qwen/Qwen2.5-1.5B-Instruct Qwen/Qwen2.5-0.5B-Instruct
"""

import sys

from transformers import AutoModelForCausalLM, AutoTokenizer

import adaedl

TARGET, DRAFT = sys.argv[1:] or ("HuggingFaceTB/SmolLM2-1.7B-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct")

tokenizer = AutoTokenizer.from_pretrained(TARGET)
target = AutoModelForCausalLM.from_pretrained(TARGET)
draft = AutoModelForCausalLM.from_pretrained(DRAFT)
question = [{"role": "user", "content": "Why is the sky blue?"}]
inputs = tokenizer.apply_chat_template(
    question, add_generation_prompt=True, return_tensors="pt", return_dict=True
)

for stopper in ("fixed:k=4", "adaedl"):
    output = target.generate(
        **inputs,
        custom_generate=adaedl.generate,
        assistant_model=draft,
        stopper=stopper,
        do_sample=True,
        temperature=0.7,
        max_new_tokens=64,
        return_dict_in_generate=True,
    )
    new_ids = output.sequences[0, inputs["input_ids"].shape[1] :]
    drafted = sum(len(each.drafted) for each in output.rounds)
    accepted = sum(each.accepted for each in output.rounds)
    print(f"{stopper}: {len(new_ids)} tokens in {len(output.rounds)} passes of the target,", end=" ")
    print(f"{accepted} of {drafted} drafts accepted")
    print(tokenizer.decode(new_ids, skip_special_tokens=True), "\n")
