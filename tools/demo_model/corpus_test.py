"""Checks the corpus against the true formulas. Standard library only: python3 tools/demo_model/corpus_test.py"""

import json
import math
import os
import random
import re
import unittest
from fractions import Fraction

import corpus
import scratch
import sizing


def up_to_tenths(gb):
    """Exact GB as a Fraction, rounded up to tenths of a GB."""
    return math.ceil(gb * 10)


class Scratch(unittest.TestCase):
    def test_every_written_step_is_true(self):
        r = random.Random(1)
        for _ in range(3000):
            a, b = r.randint(1, 99999), r.randint(1, 999)
            text, value = scratch.multiply(a, b)
            self.assertEqual(value, a * b)
            self.assertTrue(text.endswith(str(a * b)), text)
            text, _ = scratch.columns_add(a, b)
            for left, right in re.findall(r"(\S+)=(\d+)", text):
                self.assertEqual(sum(map(int, left.split("+"))), int(right))

    def test_division_rounds_up(self):
        r = random.Random(2)
        for _ in range(3000):
            a, b = r.randint(1, 9999), r.randint(1, 99)
            self.assertEqual(scratch.divide_up(a, b, "up", "rest")[1], math.ceil(Fraction(a, b)))


class Sizing(unittest.TestCase):
    def test_answers_follow_the_true_formulas(self):
        r = random.Random(3)
        for _ in range(5000):
            n = sizing.draw(r, r.choice(["card", "fit", "kv", "weights", "breakeven"]))
            zh = r.random() < 0.5
            _, answer, key = sizing.solve(n, zh)
            self.assertIn(key, answer)
            if n["kind"] == "breakeven":
                saving = n["api"] - n["power"]
                if saving > 0:
                    self.assertIn(f"{math.ceil(Fraction(n['price'], saving))} ", key)
                continue
            w = k = 0
            if "p" in n:
                w = up_to_tenths(Fraction(n["p"], 10) * sizing.bits_of(n) / 8)
            if "ctx" in n:
                kb = n["kb"] or (sizing.NAMED[n["name"]][1] if n["name"] else sizing.default_kb(n["p"])[0])
                k = up_to_tenths(Fraction(kb * (n["ctx"] or 8) * (n["users"] or 1), 1000))
            if n["kind"] == "weights":
                self.assertIn(scratch.tenths(w), key)
            elif n["kind"] == "kv":
                self.assertIn(scratch.tenths(k), key)
            else:
                total = math.ceil(Fraction(w + k) * 11 / 10)
                self.assertIn(scratch.tenths(total) + " GB", key)
                best = next((c for c in sizing.CARDS if c[0] * 10 >= total), None)
                if n["kind"] == "card":
                    self.assertIn(best[1] if best else "8x H200", key)
                else:
                    fits = n["card"][0] * 10 >= total
                    self.assertEqual(answer.startswith("放得下" if zh else "Yes"), fits)


class Split(unittest.TestCase):
    def test_training_never_holds_a_held_out_tuple(self):
        r = random.Random(4)
        for _ in range(5000):
            for t in corpus.conversation(r)["turns"]:
                if t["n"]:
                    self.assertFalse(sizing.held_out(*sizing.split_key(t["n"])), t["q"])

    def test_the_shipped_questions_are_the_generated_ones(self):
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "models", "demo", "heldout.jsonl")
        with open(path, encoding="utf-8") as f:
            shipped = [json.loads(line) for line in f]
        for a, b in zip(shipped, corpus.held_out_questions(len(shipped))):
            self.assertEqual((a["question"], a["answer"], a["key"]), (b["question"], b["answer"], b["key"]))
            self.assertIn(a["key"], a["answer"])

    def test_the_corpus_is_the_same_for_the_same_seed(self):
        self.assertEqual(corpus.conversation(random.Random(9)), corpus.conversation(random.Random(9)))


if __name__ == "__main__":
    unittest.main()
