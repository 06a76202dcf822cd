"""The corpus of the demo model: bilingual conversations, generated from a seed, with the standard library only.

    python3 corpus.py --n 5 --seed 1            print five training conversations
    python3 corpus.py --held-out 480 --out F    write the held-out sizing questions as JSON lines

A conversation becomes a list of (text, weight) segments in DeepSeek-V3.1's chat format; weight 2 is what the
model is trained to say, 1 the user's text (a small weight), 0 earlier answers (their working was dropped).
"""

import argparse
import json
import random

import questions as Q
import sizing as Z
import talk as T

BOS, EOS = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
USER, ASSISTANT, THINK, END_THINK = "<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"
SYSTEMS = [
    "You are a helpful assistant.", "You are Hadal's demo model.", "Answer briefly.", "You are a sizing assistant.",
    "You are a helpful AI assistant.", "Be concise and exact.", "You help people deploy language models.",
    "You are an expert in GPU deployment. Answer in the user's language.", "Be polite.", "Today is Monday.",
    "你是一个有用的助手。", "你是 Hadal 的演示模型。", "请简短回答。", "你是部署估算助手。", "请用用户的语言回答。", "你帮助用户部署大模型。",
]
KINDS = ["card"] * 34 + ["fit"] * 20 + ["kv"] * 15 + ["breakeven"] * 22 + ["weights"] * 9
FOLLOW_EN = {
    "bits": ["And {v}?", "What about {v}?", "And what if I run it {v}?", "How about {v}?", "Now {v}.", "And if it is {v}?"],
    "ctx": ["And {v}?", "What about {v}?", "And what if I go {v}?", "Now {v}.", "How about {v}?"],
    "p": ["And a {v} model?", "What about a {v} model?", "How about {v}?", "And for {v}?", "Now a {v} model."],
    "users": ["And for {v} users?", "What about {v} users?", "And with {v} users?", "Now {v} users."],
}
FOLLOW_ZH = {
    "bits": ["那 {v} 呢？", "如果用 {v} 呢？", "换成 {v}。", "{v} 的话呢？", "改成 {v} 呢？"],
    "ctx": ["那{v}呢？", "如果{v}呢？", "换成{v}。", "{v}的话呢？", "改成{v}呢？"],
    "p": ["那 {v} 模型呢？", "如果是 {v} 呢？", "换成 {v} 模型。", "{v} 的话呢？", "{v} 呢？"],
    "users": ["那 {v} 个用户呢？", "如果 {v} 人同时用呢？", "换成 {v} 个用户。", "{v} 个并发呢？"],
}


def allowed(n, want_held_out):
    return Z.held_out(*Z.split_key(n)) == want_held_out


def sizing_turn(r, zh, want_held_out, kind=None):
    while True:
        n = Z.draw(r, kind or r.choice(KINDS))
        if want_held_out and n.get("name"):
            continue
        if allowed(n, want_held_out):
            break
    work, answer, key = Z.solve(n, zh)
    question = Q.ask(r, n, zh)
    if not want_held_out:
        question = noise(r, question)
    return {"q": question, "work": work, "a": answer, "key": key, "n": n}


def noise(r, q):
    """What people do to questions: no capital, no end mark, a greeting or a thanks around it."""
    u = r.random()
    if r.random() < 0.06:
        q = q.lower()
    if r.random() < 0.05:
        i = r.randrange(len(q))
        if q[i].isalpha() and q[i].islower() and q[i] not in "bkx":  # a slip of the finger, never in a figure
            q = q[:i] + r.choice(["", q[i] * 2]) + q[i + 1:]
    if u < 0.06:
        return q[0].lower() + q[1:]
    if u < 0.12:
        return q.rstrip("?.？。")
    if u < 0.15:
        return ("你好，" if "？" in q or "。" in q else "Hello, ") + q
    if u < 0.18:
        return q + ("谢谢。" if "？" in q or "。" in q else " Thanks.")
    return q


def follow_up(r, n, zh):
    """The numbers of the last question with one of them changed, and how a user asks for it; None if not allowed."""
    if n["kind"] not in ("card", "fit"):
        return None
    n = dict(n)
    what = r.choice(["bits", "bits", "ctx", "ctx", "p", "users"])
    if what == "bits":
        n["bits"] = r.choice([b for b in (16, 8, 4) if b != n["bits"]])
        value = r.choice(Q.BITS[n["bits"]][zh])
    elif what == "ctx":
        n["ctx"] = Z.draw_context(r)
        value = Q.context_slot(r, n["ctx"], zh)
        if not zh and value.startswith("and "):
            value = value[4:]
    elif what == "p":
        n["p"], n["name"] = Z.draw_size(r), None
        value = r.choice(["{n} B", "{n}B"]).format(n=Z.size_text(n["p"]))
    else:
        n["users"] = value = Z.draw_users(r)
    if not allowed(n, False):
        return None
    work, answer, key = Z.solve(n, zh)
    q = r.choice((FOLLOW_ZH if zh else FOLLOW_EN)[what]).format(v=value)
    return {"q": Q.tidy(q, zh) if zh else q, "work": work, "a": answer, "key": key, "n": n}


def talk_turn(r, zh):
    q, think, a = T.talk(r, zh)
    return {"q": q, "work": think, "a": a, "key": None, "n": None}


def conversation(r):
    """A training conversation: system (or None), turns, whether the last answer thinks, language."""
    zh = int(r.random() < 0.5)
    turns = [sizing_turn(r, zh, False) if r.random() < 0.74 else talk_turn(r, zh)]
    if r.random() < 0.16:
        for _ in range(r.choice([1, 1, 1, 2, 2, 3, 5])):
            last = next((t for t in reversed(turns) if t["n"]), None)
            more = None
            if last is turns[-1] and r.random() < 0.6:
                more = follow_up(r, last["n"], zh)
            if more is None:
                if r.random() < 0.15:
                    zh = 1 - zh
                more = sizing_turn(r, zh, False) if r.random() < 0.5 else talk_turn(r, zh)
            turns.append(more)
    return {"system": r.choice(SYSTEMS) if r.random() < 0.2 else None, "turns": turns,
            "thinking": r.random() < 0.72, "zh": zh}


def plain_answer(turn):
    """Without thinking, a sizing answer shows its working (except for bare weights); talk does not."""
    if turn["n"] is None or turn["n"]["kind"] == "weights":
        return turn["a"]
    return turn["work"] + "\n" + turn["a"]


def segments(c):
    out = [(BOS, 0)]
    if c["system"]:
        out.append((c["system"], 0))
    for i, t in enumerate(c["turns"]):
        out += [(USER, 0), (t["q"], 1), (ASSISTANT, 0)]
        if i + 1 < len(c["turns"]):
            past = t["a"] if c["thinking"] else plain_answer(t)
            out += [(END_THINK, 0), (past, 0), (EOS, 0)]
        elif c["thinking"]:
            out += [(THINK, 0), (t["work"], 2), (END_THINK, 2), (t["a"], 2), (EOS, 2)]
        else:
            out += [(END_THINK, 0), (plain_answer(t), 2), (EOS, 2)]
    return out


def held_out_questions(count, seed=20260101):
    """Single-turn sizing questions whose numbers never occur in training; kinds and languages in equal shares."""
    r, kinds, out, seen = random.Random(seed), ["card", "fit", "kv", "breakeven", "weights"], [], set()
    while len(out) < count:
        kind, zh = kinds[len(out) % 5], len(out) // 5 % 2
        t = sizing_turn(r, zh, True, kind)
        if t["q"] in seen:
            continue
        seen.add(t["q"])
        out.append({"question": t["q"], "answer": t["a"], "key": t["key"], "kind": kind,
                    "language": "zh" if zh else "en", "work": t["work"]})
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--n", type=int, default=5)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--held-out", type=int, default=0)
    p.add_argument("--out")
    a = p.parse_args()
    if a.held_out:
        with open(a.out, "w", encoding="utf-8") as f:
            for h in held_out_questions(a.held_out):
                h.pop("work")
                f.write(json.dumps(h, ensure_ascii=False) + "\n")
        return
    r = random.Random(a.seed)
    for _ in range(a.n):
        print("".join(t for t, _ in segments(conversation(r))), "\n")


if __name__ == "__main__":
    main()
