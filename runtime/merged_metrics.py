"""The figures of several processes as those of one: each sample gets a label that says whose it is.  Pure.

What is merged is Prometheus text that our own processes made: a family's HELP and TYPE, then its samples.
"""

from collections.abc import Mapping


def merge(expositions: Mapping[str, bytes], label: str) -> bytes:
    """All families in the order of their first appearance, all samples of each together, as the format demands.

    `expositions` by the label's value, which needs no escaping.
    """
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for value, text in expositions.items():
        mine = f'{label}="{value}"'
        family, is_new = "", False
        for line in text.decode().splitlines():
            if line.startswith("# HELP "):
                family = line.split(" ", 3)[2]
                is_new = family not in heads
                if is_new:
                    heads[family], samples[family] = [], []
            if not line.startswith("#"):
                samples[family].append(_labelled(line, mine))
            elif is_new:
                heads[family].append(line)
    lines = [line for family, head in heads.items() for line in (*head, *samples[family])]
    return "".join(f"{line}\n" for line in lines).encode()


def _labelled(sample: str, label: str) -> str:
    """``name 1.0`` or ``name{a="b"} 1.0`` with one more label, before the others."""
    brace, space = sample.find("{"), sample.find(" ")
    if 0 <= brace < space:
        return f"{sample[:brace]}{{{label},{sample[brace + 1:]}"
    return f"{sample[:space]}{{{label}}}{sample[space:]}"
