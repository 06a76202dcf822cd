"""A full card under load: starts `hadal serve` with the cache filling the card to --fill of its memory, sends
prompts and answers of random lengths from --clients for --seconds, and counts what failed.

Every answer must come with status 200 and a finish reason. Prints one line of JSON:
requests, failures, tokens, the most memory in use (nvidia-smi) and its share.

Usage: full_card.py MODEL [--hadal build/release/hadal] [--seconds 600] [--clients 64] [--fill 0.95] [--set K=V ...]
"""
import argparse
import json
import random
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request


def smi(what):
    out = subprocess.run(["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader,nounits"],
                         stdout=subprocess.PIPE, text=True, check=True).stdout
    return float(out.splitlines()[0])


class Load:
    def __init__(self, url, model, end):
        self.url, self.model, self.end = url, model, end
        self.lock = threading.Lock()
        self.requests = self.tokens = 0
        self.failures = []

    def ask(self, random_of):
        words = random_of.choices(["river", "stone", "seven", "cloud", "maps", "quiet", "engine", "of", "and"],
                                  k=int(random_of.lognormvariate(5.5, 1.2)) % 6000 + 1)
        body = {"model": self.model, "prompt": " ".join(words), "max_tokens": random_of.randint(1, 512),
                "temperature": random_of.choice([0, 1]), "ignore_eos": True}
        request = urllib.request.Request(self.url + "/v1/completions", json.dumps(body).encode(),
                                         {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=300) as answer:
            got = json.load(answer)
        if not got["choices"][0]["finish_reason"]:
            raise ValueError("no finish_reason")
        return got["usage"]["prompt_tokens"] + got["usage"]["completion_tokens"]

    def client(self, seed):
        random_of = random.Random(seed)
        while time.time() < self.end:
            try:
                tokens, failure = self.ask(random_of), None
            except urllib.error.HTTPError as error:
                tokens, failure = 0, f"{error.code} {error.read()[:300]}"
            except Exception as error:  # every kind counts as a failure
                tokens, failure = 0, repr(error)
            with self.lock:
                self.requests += 1
                self.tokens += tokens
                if failure:
                    self.failures.append(failure)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--hadal", default="build/release/hadal")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--fill", type=float, default=0.95)
    parser.add_argument("--set", nargs="*", default=[])
    options = parser.parse_args()
    for program in (options.hadal, "nvidia-smi"):
        if shutil.which(program) is None:
            parser.error(f"{program} was not found: this needs a built hadal (--hadal) and an NVIDIA driver")
    total = smi("memory.total")
    reserve = int(total * (1 - options.fill))
    command = [options.hadal, "serve", "--model", options.model, "--device", "cuda", "--port", "0", "--set",
               f"cuda.reserve={reserve}MiB", "--set", "server.access_log=off",
               *(part for item in options.set for part in ("--set", item))]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    url = None
    for line in server.stdout:
        print(line, end="", file=sys.stderr)
        found = re.search(r"http://[^ /]+", line)
        if found:
            url = found.group(0)
            break
    if url is None:
        sys.exit("the server did not start")
    threading.Thread(target=lambda: [None for _ in server.stdout], daemon=True).start()
    name = json.load(urllib.request.urlopen(url + "/v1/models"))["data"][0]["id"]
    load = Load(url, name, time.time() + options.seconds)
    clients = [threading.Thread(target=load.client, args=(i,)) for i in range(options.clients)]
    for client in clients:
        client.start()
    most = 0
    while time.time() < load.end:
        most = max(most, smi("memory.used"))
        time.sleep(1)
    for client in clients:
        client.join()
    server.terminate()
    code = server.wait(60)
    print(json.dumps({"seconds": options.seconds, "clients": options.clients, "requests": load.requests,
                      "failures": len(load.failures), "first_failures": load.failures[:3], "tokens": load.tokens,
                      "memory_used_mib": most, "memory_share": round(most / total, 3), "server_exit": code}))
    sys.exit(1 if load.failures or code else 0)


if __name__ == "__main__":
    main()
