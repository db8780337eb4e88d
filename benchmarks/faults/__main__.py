"""`make faults`: every fault that can be planted in a few models, one at a time."""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections import Counter

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

from benchmarks.faults import judge, plant
from benchmarks.faults.models import MODELS, case


def main() -> int:
    """Runs the sweep.

    Returns:
        0 when every fault was named exactly and no clean model was accused, else 1.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("models", nargs="*", help=f"some of {', '.join(MODELS)}, or Keras Applications")
    parser.add_argument("--per-model", type=int, default=0, help="as many faults, chosen at random (default: all)")
    parser.add_argument("--only", default="", help="faults whose description holds this text, or one of several|such")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true", help="print also what was named exactly")
    given = parser.parse_args()
    total: Counter[str] = Counter()
    for name in given.models or MODELS:
        total += _sweep(name, given)
    print(", ".join(f"{n} {word}" for word, n in total.most_common()))
    return int(set(total) != {"exact"})


def _sweep(name: str, given: argparse.Namespace) -> Counter[str]:
    import tflrecover

    model, twin, file = case(name)
    count: Counter[str] = Counter()
    clean = tflrecover.diff(file, twin)
    for difference in clean.differences:
        count["false alarm"] += 1
        print(f"FALSE ALARM {name}: {difference.message}", flush=True)
    config = model.get_config()
    planted = [
        fault
        for fault in plant.faults(config)
        if any(only in f"{fault.layer} {fault.what}" for only in given.only.split("|"))
    ]
    if given.per_model and len(planted) > given.per_model:
        planted = random.Random(given.seed).sample(planted, given.per_model)
    for fault in planted:
        try:
            bad = type(model).from_config(fault.config)
            alters = judge.is_fault(model, bad)
        except Exception:  # What Keras cannot build or call is no model.
            continue
        if not alters:
            continue
        word, told = judge.outcome(file, fault, model, bad)
        if word != "no fault":
            count[word] += 1
        if word != "exact" or given.verbose:
            print(f"{word:8} {name} {fault.layer} {fault.what}: {told}", flush=True)
    print(f"{name}: {count['exact']}/{sum(count.values())} planted faults named exactly", flush=True)
    return count


if __name__ == "__main__":
    sys.exit(main())
