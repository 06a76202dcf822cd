"""Checks that models/demo's chat_template renders what the corpus trains on. Needs jinja2.

    python3 tools/demo_model/check_template.py models/demo
"""

import json
import os
import random
import sys

import jinja2

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import corpus


def main():
    with open(os.path.join(sys.argv[1], "tokenizer_config.json"), encoding="utf-8") as f:
        source = json.load(f)["chat_template"]
    env = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    template, r = env.from_string(source), random.Random(3)
    for _ in range(500):
        c = corpus.conversation(r)
        messages = [{"role": "system", "content": c["system"]}] if c["system"] else []
        for i, t in enumerate(c["turns"]):
            messages.append({"role": "user", "content": t["q"]})
            if i + 1 < len(c["turns"]):
                past = f"<think>{t['work']}</think>{t['a']}" if c["thinking"] else corpus.plain_answer(t)
                messages.append({"role": "assistant", "content": past})
        got = template.render(messages=messages, bos_token=corpus.BOS, eos_token=corpus.EOS, add_generation_prompt=True,
                              thinking=c["thinking"])
        want = "".join(t for t, w in corpus.segments(c))
        assert want.startswith(got) and got.endswith(corpus.THINK if c["thinking"] else corpus.END_THINK), (got, want)
    print("the template renders 500 conversations as the corpus does")


if __name__ == "__main__":
    main()
