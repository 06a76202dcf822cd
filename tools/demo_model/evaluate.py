"""Asks a running `hadal serve` the held-out questions and prints the exact-answer rate. Standard library only.

    python3 tools/demo_model/evaluate.py --url http://127.0.0.1:8080/v1 --parallel 8
    python3 tools/demo_model/evaluate.py --limit 50 --json report.json

An answer is exact when it holds the question's `key` (the figures, the card, the months). Exit status: 0 when the
rate reaches --at-least (default 0.95), 1 when it does not, 2 when the server cannot be used.
"""

import argparse
import concurrent.futures
import json
import os
import sys
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
HELD_OUT = os.path.join(HERE, "..", "..", "models", "demo", "heldout.jsonl")


def ask(a, question):
    body = {"model": a.model, "messages": [{"role": "user", "content": question}], "temperature": 0,
            "max_tokens": a.max_tokens}
    if a.thinking != "default":
        body["chat_template_kwargs"] = {"thinking": a.thinking == "on"}
        body["thinking"] = {"type": "enabled" if a.thinking == "on" else "disabled"}
    headers = {"Content-Type": "application/json"}
    if a.key:
        headers["Authorization"] = "Bearer " + a.key
    request = urllib.request.Request(a.url.rstrip("/") + "/chat/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=a.timeout) as r:
        return json.load(r)


def answer_text(message):
    """What follows the thinking, whether or not the server took the thinking out."""
    return (message.get("content") or "").split("</think>")[-1]


def one(a, item):
    start = time.time()
    try:
        r = ask(a, item["question"])
    except urllib.error.HTTPError as e:
        return {**item, "exact": False, "got": f"HTTP {e.code}: {e.read()[:200].decode(errors='replace')}", "error": True,
                "seconds": time.time() - start, "tokens": 0}
    except (OSError, ValueError) as e:
        return {**item, "exact": False, "got": repr(e), "error": True, "seconds": time.time() - start, "tokens": 0}
    text = answer_text(r["choices"][0]["message"])
    return {**item, "exact": item["key"] in text, "got": text, "error": False, "seconds": time.time() - start,
            "tokens": (r.get("usage") or {}).get("completion_tokens", 0)}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--url", default="http://127.0.0.1:8080/v1")
    p.add_argument("--model", default="hadal-demo")
    p.add_argument("--key", default=os.environ.get("HADAL_API_KEY"), help="API key (default: $HADAL_API_KEY)")
    p.add_argument("--questions", default=HELD_OUT)
    p.add_argument("--limit", type=int, default=0, help="only the first N questions")
    p.add_argument("--parallel", type=int, default=4)
    p.add_argument("--thinking", choices=["default", "on", "off"], default="default")
    p.add_argument("--max-tokens", type=int, default=1000)
    p.add_argument("--timeout", type=float, default=300)
    p.add_argument("--at-least", type=float, default=0.95)
    p.add_argument("--json", help="write a report to this file ('-': standard output, nothing else)")
    a = p.parse_args()
    with open(a.questions, encoding="utf-8") as f:
        items = [json.loads(line) for line in f if line.strip()]
    items = items[:a.limit] if a.limit else items
    start = time.time()
    with concurrent.futures.ThreadPoolExecutor(a.parallel) as pool:
        results = list(pool.map(lambda i: one(a, i), items))
    wall, groups = time.time() - start, {}
    for r in results:
        g = groups.setdefault(f"{r.get('kind', '')} {r.get('language', '')}", [0, 0])
        g[0] += r["exact"]
        g[1] += 1
    exact, errors = sum(r["exact"] for r in results), sum(r["error"] for r in results)
    tokens = sum(r["tokens"] for r in results)
    report = {"questions": len(results), "exact": exact, "rate": exact / max(1, len(results)), "errors": errors,
              "wall_seconds": round(wall, 2), "completion_tokens": tokens, "tokens_per_second": round(tokens / wall, 1),
              "by_kind": {k: f"{v[0]}/{v[1]}" for k, v in sorted(groups.items())},
              "wrong": [{k: r[k] for k in ("question", "key", "got")} for r in results if not r["exact"]][:50]}
    if a.json == "-":
        print(json.dumps(report, ensure_ascii=False, indent=1))
    else:
        print(f"exact {exact}/{len(results)} = {report['rate']:.1%}, {errors} errors, {wall:.1f} s, "
              f"{report['tokens_per_second']} tokens/s")
        print("  ".join(f"{k} {v}" for k, v in report["by_kind"].items()))
        for w in report["wrong"][:5]:
            print(f"  asked {w['question']}\n  want  {w['key']}\n  got   {w['got'][:200]}")
        if a.json:
            with open(a.json, "w", encoding="utf-8") as f:
                json.dump(report, f, ensure_ascii=False, indent=1)
    sys.exit(2 if errors == len(results) else 0 if report["rate"] >= a.at_least else 1)


if __name__ == "__main__":
    main()
