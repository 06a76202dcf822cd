"""Hadal and PyTorch on one GPU, in one run: the table of docs/BENCHMARKS.md.

Makes the shapes with `hadal synth`, then runs Hadal and the PyTorch baseline in turn, --rounds times,
and prints for each row the median and spread of both, the ratio, and Hadal's share of the limit that
it measured itself (bytes read over read bandwidth; operations over the largest product's rate). A llama-bench of
another engine can join: --vs PATH runs on the same GGUF.

Needs: the binary (--hadal), nvidia-smi's driver, and for the baseline a python3 with torch and
transformers. Files go to --work, 15 to 32 GB a shape and type.

Usage: compare.py [--hadal build/release/hadal] [--work DIR] [--shapes r1-distill-qwen-7b v2-lite]
                  [--types bf16 q4_k_m] [--rounds 3] [--batch 1 8 32 64] [--torch-rounds N] [--vs PATH]
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def run(command, **kwargs):
    print("+", " ".join(command), file=sys.stderr, flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, **kwargs)
    if done.returncode != 0:
        print(f"failed with {done.returncode}: {' '.join(command)}", file=sys.stderr)
        return None
    return done.stdout


def model_of(options, shape, kind):
    """The file (GGUF) or directory (bf16: safetensors, whose config.json PyTorch reads too)."""
    path = os.path.join(options.work, f"{shape}-{kind}" + ("" if kind == "bf16" else ".gguf"))
    if not os.path.exists(path):
        run([options.hadal, "synth", "--shape", shape, "--type", kind, "--out", path,
             "--format", "safetensors" if kind == "bf16" else "gguf"], check=True)
    return path


class Table:
    def __init__(self):
        self.speeds = {}  # (shape, type, what, batch) -> engine -> [tokens/s]
        self.shares = {}  # the same key -> (share, of what)

    def add(self, key, engine, speed):
        self.speeds.setdefault(key, {}).setdefault(engine, []).append(speed)

    def hadal(self, options, shape, kind, path):
        """One sequence behind a prompt of 2048, then the batches behind short ones; both decode at 512 tokens."""
        for size, batches in (("2048", [1]), ("16", [b for b in options.batch if b != 1])):
            if batches:
                self.hadal_rows(options, (shape, kind), path, size, batches)

    def hadal_rows(self, options, model, path, size, batches):
        out = run([options.hadal, "bench", "--model", path, "--device", "cuda", "--json", "--prompt",
                   size, "--chunk", "2048", "--generate", "64", "--depth", "512", "--repeat", "3", "--batch",
                   *map(str, batches), "--set", "engine.max_step_tokens=2048", *options.set])
        if out is None:
            return
        report = json.loads(out)
        self.limits = report["limits"]
        self.backend = report["backend"]
        for row in report["rows"]:
            if row["what"] == "prompt" and size != "2048":
                continue
            key = (*model, row["what"], row["batch"])
            self.add(key, "hadal", row["tokens_per_second"]["median"])
            of_peak = row["share_of_peak"] > row["share_of_read_bandwidth"]
            self.shares[key] = (max(row["share_of_peak"], row["share_of_read_bandwidth"]),
                                "product" if of_peak else "read")

    def torch(self, options, shape, path):
        out = run([sys.executable, os.path.join(HERE, "torch_baseline.py"),
                   os.path.join(path, "config.json"), "--batch",
                   *map(str, options.torch_batch if options.torch_batch is not None else options.batch)])
        for line in (out or "").splitlines():
            row = json.loads(line)
            self.add((shape, "bf16", row["what"], row["batch"]), "torch", row["tokens_per_second"])

    def llama(self, options, shape, kind, path):
        """Decoding behind 512 tokens where the program can (-gp)."""
        out = run([options.vs, "-m", path, "-ngl", "99", "-r", "3", "-o", "json", "-fa", "1", "-p", "2048", "-n", "0",
                   "-b", "2048", "-ub", "2048", "-gp", "512,64"])
        for row in json.loads(out or "[]"):
            self.add((shape, kind, "decode" if row["n_gen"] else "prompt", 1), "llama", row["avg_ts"])

    def print(self):
        print(f"{self.backend}: reads {self.limits['read_bytes_per_second'] / 1e9:.0f} GB/s, "
              f"multiplies {self.limits['flops_per_second'] / 1e12:.0f} TFLOP/s\n")
        print("| shape | type | what | batch | hadal tok/s (min..max) | of limit | torch | llama-bench | ratios |")
        print("|---|---|---|---|---|---|---|---|---|")
        for key, engines in self.speeds.items():
            if "hadal" not in engines:
                continue
            ours = statistics.median(engines["hadal"])
            share, of = self.shares[key]
            cells, ratios = [], []
            for engine in ("torch", "llama"):
                speeds = engines.get(engine)
                cells.append(f"{statistics.median(speeds):.1f}" if speeds else "-")
                if speeds:
                    ratios.append(f"{ours / statistics.median(speeds):.2f}")
            shape, kind, what, batch = key
            print(f"| {shape} | {kind} | {what} | {batch} | {ours:.1f} ({min(engines['hadal']):.1f}.."
                  f"{max(engines['hadal']):.1f}) | {100 * share:.0f} % of {of} | {cells[0]} | {cells[1]} | "
                  f"{', '.join(ratios) or '-'} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hadal", default="build/release/hadal")
    parser.add_argument("--work", default="/tmp/hadal-bench")
    parser.add_argument("--shapes", nargs="*", default=["r1-distill-qwen-7b", "v2-lite"])
    parser.add_argument("--types", nargs="*", default=["bf16", "q4_k_m"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--torch-batch", type=int, nargs="*", help="batches of the baseline, which compiles for each; else --batch")
    parser.add_argument("--batch", type=int, nargs="*", default=[1, 8, 32, 64])
    parser.add_argument("--torch-rounds", type=int, default=1, help="0: without the baseline")
    parser.add_argument("--vs", help="llama-bench of another engine")
    parser.add_argument("--set", nargs="*", default=[], help="more arguments for hadal bench")
    options = parser.parse_args()
    for program in (options.hadal, options.vs):
        if program and not os.access(program, os.X_OK):
            parser.error(f"{program} is no program; build it, or name another with --hadal or --vs")
    os.makedirs(options.work, exist_ok=True)
    table = Table()
    for shape in options.shapes:
        for kind in options.types:
            path = model_of(options, shape, kind)
            for i in range(options.rounds):
                table.hadal(options, shape, kind, path)
                if kind == "bf16" and i < options.torch_rounds:
                    table.torch(options, shape, path)
                if options.vs and path.endswith(".gguf"):
                    table.llama(options, shape, kind, path)
    table.print()


if __name__ == "__main__":
    main()
