"""The tables of docs/QUANTISATION.md: what every type costs on the built-in model. Standard library only.

    python3 tools/quantisation_table.py             run everything and print the tables
    python3 tools/quantisation_table.py --write     and put them into the two pages
    python3 tools/quantisation_table.py --types q8_0 --tasks 50

Every figure comes from `hadal quantize --json`; models are written to a temporary folder and removed. Two runs per type:
one on the held-out questions (their working and answer as text, in the chat format; the questions again as tasks), one
on the text built into hadal.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
DEMO = os.path.join(ROOT, "models", "demo")
PAGES = {"en": os.path.join(ROOT, "docs", "QUANTISATION.md"), "zh": os.path.join(ROOT, "docs", "QUANTISATION.zh-CN.md")}
TYPES = ["f32", "bf16", "f16", "fp8", "q8_0", "q6_k", "q5_k", "q5_0", "q4_k_m", "q4_k", "q4_0"]
sys.path.insert(0, os.path.join(HERE, "demo_model"))
import corpus as C  # noqa: E402


def held_out_data(path, texts, tasks):
    with open(path, "w", encoding="utf-8") as f:
        for h in C.held_out_questions(texts):
            text = C.BOS + C.USER + h["question"] + C.ASSISTANT + C.THINK + h["work"] + C.END_THINK + h["answer"] + C.EOS
            f.write(json.dumps({"text": text, "special_tokens": True}, ensure_ascii=False) + "\n")
        with open(os.path.join(DEMO, "heldout.jsonl"), encoding="utf-8") as questions:
            f.writelines(list(questions)[:tasks])


def quantize(a, folder, kind, *options):
    out = os.path.join(folder, kind + ("" if kind == "fp8" else ".gguf"))
    command = [a.hadal, "quantize", DEMO, out, "--type", kind, "--json", "--weights", a.weights, "--threads", str(a.threads)]
    run = subprocess.run(command + list(options), capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{' '.join(command)}: {run.stderr}")
    files = [out, out + ".loss.json", out + ".loss.txt"] if os.path.isfile(out) else [
        os.path.join(out, name) for name in os.listdir(out)]
    size = sum(os.path.getsize(f) for f in files if f.endswith((".gguf", ".safetensors")))
    for f in files:
        os.remove(f)
    if os.path.isdir(out):
        os.rmdir(out)
    return json.loads(run.stdout)["report"], size


def sig(x):
    return "0" if x == 0 else f"{x:.2e}" if x < 0.001 else f"{x:.4f}"


def measure(a):
    rows, original = [], None
    with tempfile.TemporaryDirectory(dir=a.folder) as folder:
        data = os.path.join(folder, "held-out.jsonl")
        held_out_data(data, a.texts, a.tasks)
        for kind in a.types:
            held, size = quantize(a, folder, kind, "--data", data, "--positions", str(a.positions))
            built_in, _ = quantize(a, folder, kind)
            print(f"{kind}: {json.dumps(held['text'])} {json.dumps(held['tasks']['after'])}", file=sys.stderr, flush=True)
            rows.append({"type": kind, "file": size, "held": held, "built_in": built_in})
            original = held
    return original, rows


def table(original, rows, zh):
    names = {False: ["type", "weights, bytes", "bits/weight", "mean KL", "p99 KL", "same top token", "perplexity",
                     "exact answers", "mean KL, general text"],
             True: ["类型", "权重字节数", "位/权重", "平均 KL", "KL 第 99 百分位", "首选一致", "困惑度", "精确回答",
                    "平均 KL（通用文本）"]}[zh]
    out = ["| " + " | ".join(names) + " |", "|---" + "|---:" * (len(names) - 1) + "|"]

    def exact(score):
        return f"{score['exact']}/{score['text_tasks']}"

    out.append("| " + " | ".join([
        "原模型" if zh else "original", f"{original['weight_bytes']['before']:,}", f"{original['bits_per_weight']['before']:.2f}",
        "", "", "", f"{original['text']['perplexity']['before']:.5f}", exact(original["tasks"]["before"]), ""]) + " |")
    for r in rows:
        t = r["held"]["text"]
        out.append("| " + " | ".join([
            r["type"], f"{r['held']['weight_bytes']['after']:,}", f"{r['held']['bits_per_weight']['after']:.2f}",
            sig(t["kl_mean_nats"]), sig(t["kl_p99_nats"]), f"{100 * t['top1_agreement']:.2f} %",
            f"{t['perplexity']['after']:.5f}", exact(r["held"]["tasks"]["after"]),
            sig(r["built_in"]["text"]["kl_mean_nats"])]) + " |")
    t, b = rows[-1]["held"]["text"], rows[-1]["built_in"]["text"]
    note = ("{0:,} 个位置（留出题对话，其中 {1:,} 个有下一个 token），通用文本 {2:,} 个位置；{3}。" if zh else
            "{0:,} positions of held-out conversations ({1:,} with a next token), {2:,} of general text; {3}.")
    out += ["", note.format(t["positions"], t["targets"], b["positions"], rows[-1]["held"]["backend"])]
    return "\n".join(out)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--hadal", default=os.path.join(ROOT, "build", "release", "hadal"))
    p.add_argument("--types", nargs="+", default=TYPES)
    p.add_argument("--texts", type=int, default=200, help="held-out conversations in the text")
    p.add_argument("--tasks", type=int, default=500, help="held-out questions asked")
    p.add_argument("--positions", type=int, default=20000)
    p.add_argument("--weights", default="f32", help="bf16: multiply blocks as they are served, activations in integers")
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--folder", help="where the temporary folder is made")
    p.add_argument("--write", action="store_true", help="replace the tables in docs/")
    a = p.parse_args()
    original, rows = measure(a)
    for language, page in PAGES.items():
        text = table(original, rows, language == "zh")
        print(text + "\n")
        if a.write:
            with open(page, encoding="utf-8") as f:
                old = f.read()
            new = re.sub(r"(<!-- table -->\n).*(<!-- end of table -->)", lambda m: m[1] + text + "\n" + m[2], old,
                         flags=re.S)
            with open(page, "w", encoding="utf-8") as f:
                f.write(new)


if __name__ == "__main__":
    main()
