"""Wordings of the sizing questions. Slots: {P} size, {B} precision, {C} context, {K} KV per token, {U} users,
{card}, {price}, {api}, {power}. A slot that is not said expands to nothing, with its leading words."""

import sizing as Z

BITS = {
    16: (["in 16-bit", "in BF16", "in FP16", "at 16-bit precision", "in bf16", "with 16-bit weights", "in fp16",
          "at 16 bit"], ["16 位", "BF16", "FP16", "16位", "用 BF16", "bf16", "以 16 位精度", "16bit"]),
    8: (["in 8-bit", "in FP8", "in INT8", "at 8-bit precision", "with 8-bit weights", "in fp8", "in int8",
         "at 8 bit", "quantised to 8 bits"], ["8 位", "FP8", "INT8", "8位", "用 FP8", "int8", "8 位量化", "8bit"]),
    4: (["in 4-bit", "in INT4", "in Q4", "at 4-bit precision", "with 4-bit weights", "in q4", "in int4",
         "at 4 bit", "quantised to 4 bits"], ["4 位", "INT4", "Q4", "4位", "用 INT4", "q4", "4 位量化", "4bit"]),
}
SIZE_EN = ["{n} B", "{n}B", "{n} billion parameter", "{n}b", "{n}-billion"]
SIZE_ZH = ["{n} B", "{n}B", "{n} B 参数的", "{n}b", "{n}B 的"]
CTX_EN = ["with {c}k tokens of context", "with {c}k context", "with a context of {c}k tokens", "and {c}k of context",
          "for {c}k tokens", "with {c}k tokens", "at {c}K context", "with a {c}k context window",
          "and {c}000 tokens of context", "and {c}k tokens of context"]
CTX_ZH = ["{c}k 上下文", "上下文 {c}k", "{c}k token 上下文", "上下文长度 {c}k", "{c}K 上下文", "{c}k 个 token 的上下文",
          "{c}k tokens", "{c}000 个 token 的上下文"]
KV_EN = [", {k} KB of KV cache per token", ", KV cache {k} KB per token", " and {k} KB of KV per token",
         " ({k} KB of KV per token)", ", {k}KB per token of KV cache", ", with {k} KB KV per token"]
KV_ZH = ["，每个 token 的 KV 是 {k} KB", "，KV 缓存每 token {k} KB", "（KV 每 token {k} KB）", "，每 token {k}KB 的 KV",
         "，每个 token KV 缓存 {k} KB"]
USERS_EN = [" for {u} users", " for {u} parallel users", " with {u} users at once", " for {u} people at the same time",
            ", {u} users", " and {u} concurrent requests"]
USERS_ZH = ["，{u} 个用户", "，{u} 人同时用", "，{u} 个并发", "，{u} 路并发", "，同时 {u} 个用户"]

CARD_EN = [
    "I want to run a {P} model {B} {C}{K}{U}. Which card fits?",
    "Which card fits a {P} model {B} {C}{K}{U}?",
    "What GPU do I need for a {P} model {B} {C}{K}{U}?",
    "Which GPU do I need to serve a {P} model {B} {C}{K}{U}?",
    "We plan to host a {P} model {B} {C}{K}{U}. What card should we buy?",
    "Smallest card for a {P} model {B} {C}{K}{U}?",
    "What is the smallest GPU that holds a {P} model {B} {C}{K}{U}?",
    "Recommend a card for a {P} model {B} {C}{K}{U}.",
    "How much memory do I need for a {P} model {B} {C}{K}{U}, and which card is it?",
    "{P} model {B} {C}{K}{U}: which card?",
    "Tell me which card to take for a {P} model {B} {C}{K}{U}.",
    "My model has {P} weights. I run it {B} {C}{K}{U}. Which card?",
    "I have a {P} model and want to use it {B} {C}{K}{U}. Which GPU is enough?",
    "Which graphics card is enough for a {P} LLM {B} {C}{K}{U}?",
    "Size a deployment: {P} model {B} {C}{K}{U}.",
    "How much VRAM does a {P} model need {B} {C}{K}{U}?",
    "What hardware do I need to run a {P} model {B} {C}{K}{U}?",
    "Please pick a GPU for a {P} model {B} {C}{K}{U}.",
    "How many GPUs do I need for a {P} model {B} {C}{K}{U}?",
    "how many gpus do i need for a {P} model {B} {C}{K}{U}",
    "How many GPUs does a {P} model {B} {C}{K}{U} need?",
    "can u tell me how many GPUs i need for a {P} model {B} {C}{K}{U}",
    "I'd like to run a {P} model {B} {C}{K}{U}, what do I need?",
    "What is needed for a {P} model {B} {C}{K}{U}?",
    "requirements for a {P} model {B} {C}{K}{U}",
    "How much GPU memory does a {P} model {B} {C}{K}{U} take?",
    "a {P} model {B} {C}{K}{U}?",
    "can u tell me which gpu i need for a {P} model {B} {C}{K}{U}",
    "Which server do I need for a {P} model {B} {C}{K}{U}?",
    "I want to deploy a {P} model {B} {C}{K}{U}.",
    "need a gpu for a {P} model {B} {C}{K}{U}",
    "What does it take to run a {P} model {B} {C}{K}{U}?",
    "Can you size a {P} model {B} {C}{K}{U}?",
    "What do I need to deploy a {P} model {B} {C}{K}{U}?",
]
CARD_ZH = [
    "我想跑一个 {P} 模型，{B}，{C}{K}{U}。该选哪张卡？",
    "{P} 模型，{B}，{C}{K}{U}，选哪张卡？",
    "部署 {P} 模型，{B}，{C}{K}{U}，需要什么显卡？",
    "跑 {P} 模型 {B} {C}{K}{U}，要哪张卡？",
    "{P} 模型 {B} {C}{K}{U}，最小用哪张卡？",
    "请推荐一张卡：{P} 模型，{B}，{C}{K}{U}。",
    "我们打算部署一个 {P} 模型，{B}，{C}{K}{U}，该买什么卡？",
    "用 {B} 跑 {P} 模型，{C}{K}{U}，哪张显卡够？",
    "{P} 的模型 {B}，{C}{K}{U}，需要多少显存？",
    "我有一个 {P} 模型，想用 {B} 运行，{C}{K}{U}，什么 GPU 够用？",
    "帮我估算一下：{P} 模型，{B}，{C}{K}{U}。",
    "能放下 {P} 模型（{B}，{C}{K}{U}）的最小的卡是哪张？",
    "一个 {P} 模型，{B}，{C}{K}{U}，要多大的显存，选哪张卡？",
    "运行 {P} 大模型，{B}，{C}{K}{U}，需要什么硬件？",
    "做个部署规划：{P} 模型，{B}，{C}{K}{U}。",
    "想部署 {P}，{B}，{C}{K}{U}，用什么卡好？",
    "{P} 模型 {B} 部署，{C}{K}{U}，哪张卡能装下？",
    "请问 {P} 模型，{B}，{C}{K}{U}，应该用哪张显卡？",
    "{P} 模型，{B}，{C}{K}{U}，需要几张卡？",
    "部署 {P} 模型要几张卡？{B}，{C}{K}{U}。",
    "跑 {P} 模型需要多大显存？{B}，{C}{K}{U}。",
    "{P} 模型的硬件要求是什么？{B}，{C}{K}{U}。",
    "{P} 模型，{B}，{C}{K}{U}？",
    "我想部署 {P} 模型，{B}，{C}{K}{U}。",
    "想在本地跑 {P} 模型，{B}，{C}{K}{U}，配什么卡？",
    "{P} 模型怎么选卡？{B}，{C}{K}{U}。",
]
FIT_EN = [
    "Does a {P} model {B} {C}{K}{U} fit on the {card}?",
    "Will a {P} model {B} {C}{K}{U} fit on a {card}?",
    "Can I run a {P} model {B} {C}{K}{U} on a {card}?",
    "I have a {card}. Can it run a {P} model {B} {C}{K}{U}?",
    "Is a {card} enough for a {P} model {B} {C}{K}{U}?",
    "Is the {card} big enough for a {P} model {B} {C}{K}{U}?",
    "{P} model {B} {C}{K}{U} on a {card}: does it fit?",
    "We own a {card}. Does a {P} model {B} {C}{K}{U} fit?",
    "Would a {card} hold a {P} model {B} {C}{K}{U}?",
    "Can a {card} serve a {P} model {B} {C}{K}{U}?",
    "My GPU is a {card}. Is it enough for a {P} model {B} {C}{K}{U}?",
    "Do I have enough memory on a {card} for a {P} model {B} {C}{K}{U}?",
    "Can my {card} handle a {P} model {B} {C}{K}{U}?",
    "Does the {card} have room for a {P} model {B} {C}{K}{U}?",
    "Tell me if a {P} model {B} {C}{K}{U} fits on the {card}.",
    "Check whether a {P} model {B} {C}{K}{U} fits on my {card}.",
    "Will a {P} model {B} {C}{K}{U} fit on one {card}?",
    "does a {P} model {B} {C}{K}{U} run on {card}",
    "Can a {P} model {B} {C}{K}{U} be run on a single {card}?",
]
FIT_ZH = [
    "{card} 能跑 {P} 模型吗？{B}，{C}{K}{U}。",
    "{P} 模型，{B}，{C}{K}{U}，{card} 放得下吗？",
    "我有 {card}，能跑 {P} 模型吗？{B}，{C}{K}{U}。",
    "{card} 够不够跑 {P} 模型，{B}，{C}{K}{U}？",
    "一个 {P} 模型 {B} {C}{K}{U}，{card} 够用吗？",
    "用 {card} 部署 {P} 模型，{B}，{C}{K}{U}，显存够吗？",
    "{card} 装得下 {P} 模型吗（{B}，{C}{K}{U}）？",
    "我的显卡是 {card}，跑 {P} 模型 {B} {C}{K}{U} 行不行？",
    "我们有 {card}，想跑 {P} 模型，{B}，{C}{K}{U}，可以吗？",
    "{card} 能不能放下 {P} 模型，{B}，{C}{K}{U}？",
    "请问 {P} 模型，{B}，{C}{K}{U}，在 {card} 上放得下吗？",
    "{card} 的显存够 {P} 模型用吗？{B}，{C}{K}{U}。",
    "在 {card} 上跑 {P} 模型 {B}，{C}{K}{U}，可行吗？",
    "手里是 {card}，{P} 模型，{B}，{C}{K}{U}，能跑吗？",
    "判断一下：{P} 模型，{B}，{C}{K}{U}，{card} 能否放下。",
]
WEIGHTS_EN = [
    "How much memory do the weights of a {P} model take {B}?",
    "How big are the weights of a {P} model {B}?",
    "How many GB are the weights of a {P} model {B}?",
    "Weight size of a {P} model {B}?",
    "What do the weights of a {P} model weigh {B}?",
    "How large is a {P} model {B}?",
    "How much space do {P} weights need {B}?",
    "How many gigabytes is a {P} model {B}?",
    "How big is the checkpoint of a {P} model {B}?",
    "A {P} model {B}: how much memory for the weights?",
    "Give me the weight bytes of a {P} model {B}.",
    "How much VRAM do just the weights of a {P} model need {B}?",
    "What is the size of a {P} model {B}?",
    "Weights only: a {P} model {B}, how many GB?",
    "Compute the weight memory of a {P} model {B}.",
    "How heavy is a {P} model {B}?",
]
WEIGHTS_ZH = [
    "{P} 模型 {B} 的权重占多少显存？", "{P} 模型，{B}，权重有多大？", "{P} 模型的权重 {B} 要多少 GB？",
    "{P} 模型 {B} 有多大？", "一个 {P} 模型，{B}，光权重要多少显存？", "{B} 的 {P} 模型权重占多少？",
    "算一下 {P} 模型 {B} 的权重大小。", "{P} 模型用 {B} 存权重要多少空间？", "请问 {P} 模型 {B} 权重多少 GB？",
    "{P} 模型 {B} 的检查点有多大？", "只看权重，{P} 模型 {B} 占多少？", "{P} 模型 {B} 的文件有多大？",
    "存下 {P} 模型的权重（{B}）需要多少 GB？", "{P}，{B}，权重多大？", "{P} 模型在 {B} 下权重多少 GB？",
]
KVQ_EN = [
    "How big is the KV cache at {k} KB per token {C}{U}?",
    "How much memory does the KV cache take at {k} KB per token {C}{U}?",
    "KV cache size: {k} KB per token {C}{U}?",
    "A model needs {k} KB of KV per token. How big is the cache {C}{U}?",
    "How many GB of KV cache at {k} KB per token {C}{U}?",
    "My model uses {k} KB of KV cache per token. What does that make {C}{U}?",
    "With {k} KB per token, how large is the KV cache {C}{U}?",
    "Compute the KV cache: {k} KB per token {C}{U}.",
    "KV is {k} KB per token. How much memory {C}{U}?",
    "How much VRAM for the KV cache at {k} KB per token {C}{U}?",
    "What is the KV cache size {C}{U} if a token takes {k} KB?",
    "If one token takes {k} KB of KV, how much is it {C}{U}?",
    "Size of the KV cache {C}{U} at {k} KB a token?",
    "How many gigabytes is the KV cache {C}{U}, {k} KB per token?",
    "Tell me the KV cache memory {C}{U} at {k} KB per token.",
]
KVQ_ZH = [
    "每个 token 的 KV 是 {k} KB，{C}{U}，KV 缓存有多大？", "KV 每 token {k} KB，{C}{U}，要多少显存？",
    "KV 缓存每 token {k} KB，{C}{U}，一共多少 GB？", "{C}{U}，每 token {k} KB，KV 缓存占多少？",
    "一个 token 占 {k} KB，{C}{U}，KV 缓存多大？", "算一下 KV 缓存：每 token {k} KB，{C}{U}。",
    "模型每个 token 需要 {k} KB 的 KV，{C}{U}，缓存要多少 GB？", "每 token {k}KB，{C}{U}，KV 多少 GB？",
    "请问每 token {k} KB 的 KV，{C}{U}，要多少显存？", "{C}{U}，KV 每 token {k} KB，缓存占多少显存？",
    "如果每个 token 的 KV 是 {k} KB，{C}{U}，总共多大？", "KV 缓存大小：{k} KB 每 token，{C}{U}？",
    "我的模型每 token 用 {k} KB KV 缓存，{C}{U}，需要多少内存？", "估算 KV 缓存：{C}{U}，每 token {k} KB。",
    "每 token KV {k} KB，{C}{U}，KV 缓存几个 GB？",
]
BREAK_EN = [
    "A server costs {price}, the API bill is {api} a month and power costs {power} a month. When does it break even?",
    "Hardware costs {price}. We pay {api} a month for the API; running it costs {power} a month. Break-even?",
    "We pay {api} per month for an API. A machine for {price} with running costs of {power} per month: how long until it pays for itself?",
    "How many months until a {price} server pays for itself if the API costs {api} a month and power {power} a month?",
    "Price {price}, API {api} per month, power {power} per month: how many months to break even?",
    "If I spend {price} on a GPU box, save an API bill of {api} a month and pay {power} a month for power, when do I break even?",
    "Break-even for {price} of hardware, {api} monthly API cost, {power} monthly power cost?",
    "Our API bill is {api} a month. A card costs {price} and {power} a month to run. Is it worth it, and after how long?",
    "After how many months does a {price} machine pay off? The API costs {api} a month, electricity {power} a month.",
    "I can buy a server for {price}. It needs {power} a month of power and replaces an API bill of {api} a month. How long to pay back?",
    "Payback time: {price} hardware, {api} API per month, {power} power per month.",
    "Compute the break-even months: price {price}, API {api}, power {power}.",
    "The API costs us {api} every month. Our own hardware would cost {price} once and {power} every month. When is it cheaper?",
    "When does hardware for {price} pay back against an API bill of {api} a month with {power} a month of running cost?",
    "Is {price} for a server worth it? API {api} monthly, running cost {power} monthly.",
    "How long to recover {price} if the monthly API bill is {api} and the monthly running cost is {power}?",
]
BREAK_ZH = [
    "服务器 {price}，API 每月 {api}，电费每月 {power}，几个月回本？",
    "硬件花 {price}，原来 API 每月 {api}，自己跑每月电费 {power}，多久回本？",
    "买机器要 {price}，每月 API 账单 {api}，每月运行成本 {power}，多少个月回本？",
    "我们每月付 API {api}，自建要 {price}，电费每月 {power}，什么时候回本？",
    "价格 {price}，API 每月 {api}，电费每月 {power}：回本要几个月？",
    "一台 {price} 的服务器，每月电费 {power}，能省下每月 {api} 的 API 费用，多久回本？",
    "计算回本时间：硬件 {price}，API {api} 每月，电费 {power} 每月。",
    "显卡 {price}，每月电费 {power}，API 每月要 {api}，值不值？几个月回本？",
    "如果花 {price} 买服务器，每月 API 省 {api}，每月电费 {power}，几个月能回本？",
    "每月 API 费用 {api}，机器 {price}，运行费每月 {power}，回本期多长？",
    "回本周期：硬件 {price}，API 每月 {api}，运行每月 {power}。",
    "API 每个月花 {api}，自己买机器 {price}，每个月电费 {power}，多少个月划算？",
    "投入 {price}，每月 API {api}，每月电费 {power}，请算回本月数。",
    "自建硬件 {price}，每月成本 {power}，对比 API 每月 {api}，几个月回本？",
    "请问 {price} 的机器，API 每月 {api}，电费每月 {power}，要多久才能回本？",
]
TEMPLATES = {"card": (CARD_EN, CARD_ZH), "fit": (FIT_EN, FIT_ZH), "weights": (WEIGHTS_EN, WEIGHTS_ZH),
             "kv": (KVQ_EN, KVQ_ZH), "breakeven": (BREAK_EN, BREAK_ZH)}


def size_slot(r, p, zh):
    if zh and p % 10 == 0 and r.random() < 0.12:
        return f"{p} 亿参数的" if r.random() < 0.5 else f"{p} 亿"
    return r.choice(SIZE_ZH if zh else SIZE_EN).format(n=Z.size_text(p))


def name_slot(r, name):
    """Users write the names of published models loosely."""
    u = r.random()
    if u < 0.2:
        return name.lower()
    if u < 0.45:
        return name.replace("-", " ")
    if u < 0.6 and name.startswith("R1-"):
        return "DeepSeek-" + name
    return name.lower().replace("-", " ") if u < 0.7 else name


def card_slot(r, name, zh):
    """Users write card names loosely too: 'h100', '4090', '2 H200s', '两张 H200'."""
    u = r.random()
    if name[1:3] == "x " and u < 0.4:
        word = {"2": ("two", "两"), "4": ("four", "四"), "8": ("eight", "八")}[name[0]]
        if zh:
            return f"{name[0] if u < 0.2 else word[1]} 张 {name[3:]}"
        return f"{name[0] if u < 0.2 else word[0]} {name[3:]}s"
    if u < 0.2 and "RTX " in name and name[-1].isdigit():
        return name.replace("RTX ", "")
    return name.lower() if u < 0.35 else name


def context_slot(r, c, zh):
    return "" if c is None else r.choice(CTX_ZH if zh else CTX_EN).format(c=c)


def money(r, x, zh, style):
    if zh:
        return {0: f"{x} 元", 1: f"{x}元", 2: f"¥{x}", 3: f"{x} 美元"}[style]
    comma = f"{x:,}"
    return {0: f"${comma}", 1: f"${x}", 2: f"{x} dollars", 3: f"{comma} euros"}[style]


def tidy(s, zh):
    """Removes what an empty slot left behind."""
    while "  " in s:
        s = s.replace("  ", " ")
    for bad, good in ([("？：", "？"), ("？，", "？"), ("。，", "。"), (" ，", "，"), ("，，", "，"), ("，。", "。"), ("，？", "？"), (" 。", "。"), ("，）", "）"), ("，:", ":"),
                       ("？，", "？"), ("（，", "（"), ("（）", ""), ("的 模型", "的模型"), ("的 大模型", "的大模型"), ("的 的", "的"), ("？。", "？"), ("：，", "："), (" ？", "？")]
                      if zh else [("a two", "two"), ("a four", "four"), ("a eight", "eight"), ("a 2 ", "2 "), ("a 4 ", "4 "), ("a 8 ", "8 "), ("one two", "two"), ("one four", "four"), ("one eight", "eight"), (" .", "."), (" ?", "?"), (" :", ":"), (" ,", ",")]):
        s = s.replace(bad, good)
    return s.strip(" ，")


def ask(r, n, zh):
    """One wording of the question with numbers n."""
    options = TEMPLATES[n["kind"]][zh]
    if n.get("name"):
        options = [t for t in options if ("{P} 模型" in t or "{P} 大模型" in t if zh else "a {P} model" in t)]
    template = r.choice(options)
    slots = {}
    if n["kind"] == "breakeven":
        style = r.randint(0, 3)
        slots = {k: money(r, n[k], zh, style) for k in ("price", "api", "power")}
    else:
        if "p" in n:
            slots["P"] = size_slot(r, n["p"], zh)
            if n["name"]:
                template = template.replace("{P} 大模型" if "{P} 大" in template else "{P} 模型", "{P}") if zh \
                    else template.replace("a {P} model", "{P}")
                slots["P"] = name_slot(r, n["name"])
            slots["B"] = "" if n["bits"] is None else r.choice(BITS[n["bits"]][zh])
        if "ctx" in n:
            slots["C"] = context_slot(r, n["ctx"], zh)
            u = n.get("users")
            slots["U"] = r.choice(USERS_ZH if zh else USERS_EN).format(u=u) if u else ""
            if n["kind"] == "kv":
                slots["k"] = n["kb"]
            else:
                slots["K"] = r.choice(KV_ZH if zh else KV_EN).format(k=n["kb"]) if n["kb"] else ""
        if "card" in n:
            gb, name = n["card"]
            if name is None:
                slots["card"] = f"{gb} GB 的卡" if zh else r.choice([f"{gb} GB card", f"{gb} GB GPU", f"card with {gb} GB"])
            else:
                slots["card"] = f"{name} ({gb} GB)" if r.random() < 0.15 else card_slot(r, name, zh)
    text = template.format(**slots)
    return tidy(text, zh)
