"""Written-out arithmetic: every step is a small-digit operation that a small model can learn.

Each function returns (text, value): the working as the model writes it, and the exact value. "Tenths" are
fixed-point integers (76 is 7.6). All roundings go up, so a figure is never smaller than the true one.
Stdlib only; used by the corpus and by its tests.
"""


def tenths(x):
    """76 -> '7.6'."""
    return f"{x // 10}.{x % 10}"


def _digits(x):
    """Least significant digit first."""
    return [int(c) for c in reversed(str(x))]


def columns_add(a, b):
    """'5+7=12 9+0+1=10' for 95+7: one step per column from the right, with the carry as third operand."""
    da, db, steps, carry = _digits(a), _digits(b), [], 0
    for i in range(max(len(da), len(db))):
        x = da[i] if i < len(da) else 0
        y = db[i] if i < len(db) else 0
        s = x + y + carry
        steps.append(f"{x}+{y}{'+1' if carry else ''}={s}")
        carry = s // 10
    return " ".join(steps), a + b


def columns_mul(a, digit):
    """'7x2=14 5x2+1=11' for 57x2: one step per digit of a, from the right, with the carry added."""
    steps, carry = [], 0
    for x in _digits(a):
        s = x * digit + carry
        steps.append(f"{x}x{digit}{f'+{carry}' if carry else ''}={s}")
        carry = s // 10
    return " ".join(steps), a * digit


def multiply(a, b):
    """Product of two integers. Trailing zeros are set aside first and a one-digit factor comes second; then a
    partial product per digit of b, added up as they come: '100x32: 32x1 2x1=2 3x1=3 32 00 3200'."""
    ca, cb = str(a).rstrip("0"), str(b).rstrip("0")
    zeros = "0" * (len(str(a)) - len(ca) + len(str(b)) - len(cb))
    ca, cb = int(ca), int(cb)
    if ca < 10 <= cb:
        ca, cb = cb, ca
    text, value = schoolbook(ca, cb)
    head = "" if (ca, cb) == (a, b) else f"{ca}x{cb} "
    tail = f" {zeros} {a * b}" if zeros else ""
    return f"{a}x{b}: {head}{text}{tail}", a * b


def schoolbook(a, b):
    db = _digits(b)
    if len(db) == 1:
        text, value = columns_mul(a, b)
        return f"{text} {value}", value
    parts, acc = [], 0
    for place, digit in enumerate(db):
        if digit == 0:
            parts.append("x0 0")
            continue
        text, value = columns_mul(a, digit)
        shifted = value * 10 ** place
        part = f"x{digit} {text} {shifted}"
        if acc:
            add, total = columns_add(acc, shifted)
            part += f"; {acc}+{shifted} {add} {total}"
            acc = total
        else:
            acc = shifted
        parts.append(part)
    return "; ".join(parts), acc


def half_up(x, up):
    """x tenths halved by long division, rounded up to tenths: '7.5/2: 7/2=3r1 15/2=7r1 3.75 up 3.8'."""
    rem, steps = 0, []
    for c in str(x):
        cur = rem * 10 + int(c)
        rem = cur % 2
        steps.append(f"{cur}/2={cur // 2}{'r1' if rem else ''}")
    value = (x + 1) // 2
    tail = f"{tenths(x // 2)}5 {up} {tenths(value)}" if rem else tenths(value)
    return f"{tenths(x)}/2: {' '.join(steps)} {tail}", value


def megabytes_up(mb, up):
    """MB to tenths of a GB, up: '1824 MB = 1.8 + 24 up 1.9 GB'."""
    whole, rest = divmod(mb, 100)
    value = whole + (1 if rest else 0)
    if rest:
        return f"{mb} MB = {tenths(whole)} + {rest:02d} {up} {tenths(value)} GB", value
    return f"{mb} MB = {tenths(value)} GB", value


def add_tenths(a, b):
    text, value = columns_add(a, b)
    return f"{tenths(a)}+{tenths(b)}: {text} {tenths(value)}", value


def tenth_part_up(x, up):
    """10 % of x tenths, up: '9.5/10 = 0.9 + 5 up 1.0'."""
    whole, rest = divmod(x, 10)
    value = whole + (1 if rest else 0)
    if rest:
        return f"{tenths(x)}/10 = {tenths(whole)} + {rest} {up} {tenths(value)}", value
    return f"{tenths(x)}/10 = {tenths(value)}", value


def divide_up(dividend, divisor, up, rest_word):
    """Long division rounded up, after a table of the divisor's nine multiples."""
    table = " ".join(str(divisor * k) for k in range(1, 10))
    rem, steps = 0, []
    for c in str(dividend):
        cur = rem * 10 + int(c)
        q = cur // divisor
        rem = cur - q * divisor
        steps.append(f"{cur}-{q * divisor}={rem}:{q}" if q else f"{cur}:0")
    value = -(-dividend // divisor)
    tail = f"{dividend // divisor} {rest_word} {rem}" + (f" {up} {value}" if rem else "")
    return f"{dividend}/{divisor}: {table}; {' '.join(steps)}; {tail}", value
