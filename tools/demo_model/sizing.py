"""Sizing questions: numbers, the rules they follow, the working and the answer, in English and Chinese.

Rules (all true, all rounded up to 0.1 GB; 1 GB = 1e9 bytes):
  weights GB  = parameters in billions x bytes per weight (16-bit 2, 8-bit 1, 4-bit 0.5)
  KV cache MB = KB per token x thousands of tokens x users
  total       = weights + KV cache, plus 10 % headroom
  card        = the smallest of CARDS that holds the total
  break-even  = price / (monthly API bill - monthly running cost), in whole months, up
Where a question leaves something out the model assumes 16-bit, 8k tokens, one user and KB_BY_SIZE.
"""

import hashlib

import scratch as S

CARDS = [(8, "RTX 4060"), (12, "RTX 3060"), (16, "RTX 4080"), (24, "RTX 4090"), (32, "RTX 5090"),
         (48, "L40S"), (80, "H100"), (96, "RTX PRO 6000"), (141, "H200"), (282, "2x H200"),
         (564, "4x H200"), (1128, "8x H200")]
# Other cards that a user may own; never recommended.
OTHER_CARDS = [(12, "RTX 4070"), (24, "RTX 3090"), (80, "A100"), (16, "T4"), (24, "L4"), (48, "RTX A6000"), (96, "H20"),
               (32, "V100"), (24, "A10"), (8, "RTX 3070"), (16, "RTX 4060 Ti"), (10, "RTX 3080"), (192, "B200"),
               (40, "A100 40GB"), (160, "2x H100"), (640, "8x H100"), (320, "4x H100"), (48, "2x RTX 4090"),
               (192, "2x H20"), (768, "8x H20"), (64, "2x RTX 5090"), (96, "4x RTX 4090"), (640, "8x A100")]
# Published models: name -> (size in tenths of a billion, KB of KV cache per token in 16-bit, native bits).
NAMED = {"DeepSeek-V3": (6710, 71, 8), "DeepSeek-R1": (6710, 71, 8), "DeepSeek-V3.1": (6710, 71, 8),
         "DeepSeek-V2": (2357, 70, 16), "DeepSeek-V2-Lite": (157, 32, 16), "R1-Distill-Qwen-1.5B": (18, 29, 16),
         "R1-Distill-Qwen-7B": (77, 58, 16), "R1-Distill-Qwen-14B": (148, 197, 16),
         "R1-Distill-Qwen-32B": (328, 263, 16), "R1-Distill-Llama-8B": (81, 132, 16),
         "R1-Distill-Llama-70B": (706, 328, 16), "DeepSeek-R1-0528-Qwen3-8B": (82, 148, 16),
         "Qwen3-8B": (82, 148, 16), "Llama-3.1-8B": (81, 132, 16), "Llama-3.1-70B": (706, 328, 16),
         "Qwen2.5-7B": (77, 58, 16), "Qwen2.5-14B": (148, 197, 16), "Qwen2.5-32B": (328, 263, 16)}
NAMED_SIZES = {v[0] for v in NAMED.values()}
# Largest model size in tenths of a billion -> KB of KV cache per token when the question gives none.
KB_BY_SIZE = [(30, 30, "up to 3 B", "3 B 以下的"), (100, 100, "3 to 10 B", "3 到 10 B 的"),
              (200, 200, "10 to 20 B", "10 到 20 B 的"), (400, 300, "20 to 40 B", "20 到 40 B 的"),
              (2000, 400, "40 to 200 B", "40 到 200 B 的"), (10 ** 9, 70, "above 200 B (MLA)", "200 B 以上（MLA）的")]
COMMON_SIZES = [5, 6, 15, 17, 18, 30, 40, 70, 76, 80, 82, 90, 120, 130, 140, 148, 160, 157, 240, 270, 300, 320,
                328, 340, 400, 670, 700, 706, 720, 1050, 1200, 1760, 2350, 2360, 2843, 4050, 6710, 6850]
COMMON_CONTEXT = [1, 2, 4, 8, 10, 16, 20, 24, 32, 40, 48, 64, 80, 100, 128]
COMMON_KB = [28, 57, 70, 131, 147, 197, 262, 328]
HELD_OUT_ONE_IN = 12


def held_out(*key):
    """True for the number tuples kept out of training, whatever the wording or language."""
    if key[0] == "size" and key[1] in NAMED_SIZES:
        return False
    return hashlib.md5(repr(key).encode()).digest()[0] % HELD_OUT_ONE_IN == 0


def default_kb(p):
    return next((kb, en, zh) for limit, kb, en, zh in KB_BY_SIZE if p <= limit)


def size_text(p):
    """76 -> '7.6', 70 -> '7'."""
    return S.tenths(p) if p % 10 else str(p // 10)


# ---------------------------------------------------------------- numbers
def draw_size(r):
    u = r.random()
    if u < 0.35:
        return r.choice(COMMON_SIZES)
    if u < 0.60:
        return r.randint(1, 99)
    if u < 0.85:
        return r.randint(100, 999)
    return r.randint(1000, 9999) if r.random() < 0.5 else r.randint(100, 999) * 10


def draw_bits(r):
    return r.choice([16, 8, 8, 4])


def draw_context(r):
    u = r.random()
    return r.choice(COMMON_CONTEXT) if u < 0.45 else r.randint(1, 131) if u < 0.92 else r.randint(132, 512)


def draw_users(r):
    return r.randint(2, 9) if r.random() < 0.6 else r.randint(10, 99) if r.random() < 0.7 else r.randint(1, 10) * 10


def draw_kb(r):
    return r.choice(COMMON_KB) if r.random() < 0.2 else r.randint(10, 420)


def draw(r, kind):
    """Numbers of one question: a dict; None stands for 'not said in the question'."""
    n = {"kind": kind}
    if kind == "breakeven":
        saving = r.randint(10, 99)
        months = r.choice([r.randint(2, 24), r.randint(2, 60), r.randint(2, 120)])
        n["power"] = r.randint(1, 40) * 10
        n["api"] = saving * 10 + n["power"]
        price = max(10, round(saving * (months - r.random())))
        n["price"] = price * 10 if price < 100 or r.random() < 0.3 else price // 10 * 100
        if r.random() < 0.05:
            n["api"] = max(10, n["power"] - r.randint(0, 10) * 10)
        return n
    if kind == "kv":
        n.update(kb=draw_kb(r), ctx=draw_context(r), users=r.choice([None, None, draw_users(r)]))
        return n
    n.update(p=draw_size(r), bits=draw_bits(r), name=None)
    if r.random() < 0.18:
        n["name"] = r.choice(list(NAMED))
        n["p"] = NAMED[n["name"]][0]
    if kind == "weights":
        return n
    n.update(ctx=draw_context(r), kb=draw_kb(r) if r.random() < 0.45 else None,
             users=draw_users(r) if r.random() < 0.25 else None)
    if r.random() < 0.08:
        n["bits"] = None
    if r.random() < 0.08:
        n["ctx"] = None
    if kind == "fit":
        total = total_tenths(n)
        near = [c for c in CARDS if 0.4 * total <= c[0] * 10 <= 3 * total]
        n["card"] = r.choice(near or CARDS) if r.random() < 0.8 else r.choice(CARDS)
        u = r.random()
        if u < 0.25:
            n["card"] = r.choice(OTHER_CARDS)
        elif u < 0.35:
            gb = r.choice([r.randint(4, 100), r.randint(4, 400)])
            n["card"] = (gb, None)
    return n


def split_key(n):
    """The tuple that decides whether a question is held out: its own numbers, never its wording."""
    if n["kind"] == "breakeven":
        return ("breakeven", n["price"], n["api"], n["power"])
    if n["kind"] == "kv":
        return ("kv", n["kb"], n["ctx"])
    return ("size", n["p"], bits_of(n))


def bits_of(n):
    """Said in the question, or native to the named model, or 16."""
    return n["bits"] or (NAMED[n["name"]][2] if n.get("name") else 16)


# ---------------------------------------------------------------- working
def weights_work(n, zh):
    p, bits, name = n["p"], bits_of(n), n.get("name")
    up = "进到" if zh else "up"
    said = "" if n["bits"] else (f"没给精度，按 {bits} 位。" if zh else f"No precision given, so {bits}-bit. ")
    if name:
        said = (f"{name} 有 {size_text(p)} B。" if zh else f"{name} has {size_text(p)} B. ") + said
    if bits == 8:
        text, w = f"{S.tenths(p)} x 1 = {S.tenths(p)}", p
    elif bits == 4:
        text, w = S.half_up(p, up)
    else:
        steps, w = S.columns_mul(p, 2)
        text = f"{S.tenths(p)}x2: {steps} {S.tenths(w)}"
    per = {16: "2", 8: "1", 4: "0.5"}[bits]
    if zh:
        return f"{said}权重：{size_text(p)} B，{bits} 位，每个 {per} 字节。{text} GB。", w
    unit = "bytes" if bits == 16 else "byte"
    return f"{said}Weights: {size_text(p)} B, {bits}-bit, {per} {unit} each. {text} GB.", w


def kv_work(n, zh):
    kb, ctx, users, said = n["kb"], n["ctx"], n["users"], ""
    if ctx is None:
        ctx, said = 8, "没给长度，按 8k。" if zh else "No context given, so 8k. "
    if kb is None and n.get("name"):
        kb = NAMED[n["name"]][1]
        said += f"{n['name']} 每个 token 约 {kb} KB。" if zh else f"{n['name']} takes about {kb} KB per token. "
    elif kb is None:
        kb, en_range, zh_range = default_kb(n["p"])
        said += (f"没给 KV，{zh_range}模型每个 token 约 {kb} KB。" if zh
                 else f"No KV size given; a model {en_range} takes about {kb} KB per token. ")
    text, mb = S.multiply(kb, ctx)
    if users:
        more, mb = S.multiply(mb, users)
        text += f". {more}"
    tail, v = S.megabytes_up(mb, "进到" if zh else "up")
    people = (f" x {users} 人" if zh else f" x {users} users") if users else ""
    if zh:
        return f"{said}KV：{kb} KB x {ctx}k{people}。{text}。{tail}。", v
    return f"{said}KV: {kb} KB x {ctx}k{people}. {text}. {tail}.", v


def total_work(n, zh):
    up = "进到" if zh else "up"
    wt, w = weights_work(n, zh)
    kt, k = kv_work(n, zh)
    st, s = S.add_tenths(w, k)
    ht, h = S.tenth_part_up(s, up)
    tt, t = S.add_tenths(s, h)
    if zh:
        return f"{wt}\n{kt}\n合计：{st}。\n余量：{ht}；{tt} GB。", (w, k, t)
    return f"{wt}\n{kt}\nSum: {st}.\nHeadroom: {ht}; {tt} GB.", (w, k, t)


def total_tenths(n):
    return total_work(n, False)[1][2]


def walk_cards(t, zh):
    no, yes, steps = ("不够", "够") if zh else ("no", "yes"), None, []
    no, yes = no
    for gb, name in CARDS:
        if gb * 10 >= t:
            steps.append(f"{gb} {yes}")
            return " ".join(steps), (gb, name)
        steps.append(f"{gb} {no}")
    return " ".join(steps), None


def card_text(card, zh):
    if card[1] is None:
        return f"{card[0]} GB 的卡" if zh else f"{card[0]} GB card"
    return f"{card[1]}（{card[0]} GB）" if zh else f"{card[1]} ({card[0]} GB)"


def solve(n, zh):
    """(working, answer, key): the key is the part of the answer that must be exact."""
    up = "进到" if zh else "up"
    if n["kind"] == "weights":
        work, w = weights_work(n, zh)
        key = f"{S.tenths(w)} GB"
        return work, (f"权重占 {key}。" if zh else f"The weights take {key}."), \
            (f"占 {key}" if zh else f"take {key}")
    if n["kind"] == "kv":
        work, k = kv_work(n, zh)
        key = f"{S.tenths(k)} GB"
        return work, (f"KV 缓存占 {key}。" if zh else f"The KV cache takes {key}."), \
            (f"占 {key}" if zh else f"takes {key}")
    if n["kind"] == "breakeven":
        return solve_breakeven(n, zh, up)
    work, (w, k, t) = total_work(n, zh)
    walk, card = walk_cards(t, zh)
    best = card_text(card, zh) if card else None
    if n["kind"] == "card":
        work += f"\n选卡：{walk}。" if zh else f"\nCards: {walk}."
        if zh:
            key = f"合计 {S.tenths(t)} GB，" + (f"选 {best}" if card else "超过 8x H200（1128 GB）")
            return work, f"权重 {S.tenths(w)} GB，KV 缓存 {S.tenths(k)} GB，另加 10% 余量：{key}。", key
        key = f"{S.tenths(t)} GB in total, " + (f"so take the {best}" if card else "more than 8x H200 (1128 GB)")
        return work, (f"Weights {S.tenths(w)} GB, KV cache {S.tenths(k)} GB, plus 10 % headroom: {key}."), key
    asked, ok = n["card"], n["card"][0] * 10 >= t
    if zh:
        work += f"\n{S.tenths(t)} 和 {asked[0]}：{'够' if ok else '不够'}。"
        key = (f"{'放得下' if ok else '放不下'}：合计 {S.tenths(t)} GB，"
               f"{card_text(asked, zh)}{'够用' if ok else '不够'}")
    else:
        work += f"\n{S.tenths(t)} against {asked[0]}: {'yes' if ok else 'no'}."
        key = (f"{'Yes' if ok else 'No'}: {S.tenths(t)} GB in total "
               f"{'fits' if ok else 'does not fit'} on the {card_text(asked, zh)}")
    if ok:
        return work, key + ("。" if zh else "."), key
    work += f" 选卡：{walk}。" if zh else f" Cards: {walk}."
    if zh:
        more = f"可以选 {best}" if card else "超过 8x H200（1128 GB）"
        return work, f"{key}。{more}。", f"{key}。{more}"
    more = f"Take the {best}" if card else "It is more than 8x H200 (1128 GB)"
    return work, f"{key}. {more}.", f"{key}. {more}"


def solve_breakeven(n, zh, up):
    price, api, power = n["price"], n["api"], n["power"]
    saving = api - power
    if saving <= 0:
        if zh:
            return f"每月省：{api}-{power}，不大于 0。", "永远回不了本：自己运行不比用 API 便宜。", "永远回不了本"
        return (f"Saving per month: {api}-{power}, not above 0.",
                "It never pays for itself: running it costs no less than the API.", "It never pays for itself")
    text, months = S.divide_up(price // 10, saving // 10, up, "余" if zh else "rest")
    if zh:
        return (f"每月省：{api}-{power}={saving}。\n{price}/{saving} = {text}。",
                f"每月省 {saving}，{months} 个月回本。", f"，{months} 个月回本")
    unit = "month" if months == 1 else "months"
    return (f"Saving per month: {api}-{power}={saving}.\n{price}/{saving} = {text}.",
            f"It saves {saving} a month and pays for itself after {months} {unit}.", f"after {months} {unit}.")
