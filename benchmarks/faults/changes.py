"""What a fault makes of an argument, by its name, and which classes take each other's place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Config = dict[str, Any]
Change = Callable[[Any, Config], Any]


def _other(*values: Any) -> Change:
    """Each value becomes another of those."""
    return lambda value, _: next(v for v in values if v != value)


def _each(change: Callable[[int], int]) -> Change:
    return lambda value, _: [change(n) for n in value] if isinstance(value, (list, tuple)) else change(value)


def _amounts(value: Any, _: Config) -> Any:
    """Paddings and croppings: one more behind; sides exchanged where they differ."""
    pairs = [list(pair) for pair in value] if isinstance(value[0], (list, tuple)) else [list(value)]
    turned = [pair[::-1] for pair in pairs]
    changed = turned if turned != pairs else [[a + 1, max(b - 1, 0)] for a, b in pairs]
    return changed if isinstance(value[0], (list, tuple)) else changed[0]


def _padding(value: Any, config: Config) -> Any:
    return (
        {"same": "valid", "valid": "same", "causal": "same"}[value]
        if isinstance(value, str)
        else _amounts(value, config)
    )


def _numbers(change: Callable[[float], float]) -> Change:
    """Each of several numbers that are no sizes."""
    return lambda value, _: [change(n) for n in value] if isinstance(value[0], float) else value


def _size(value: Any, _: Config) -> Any:
    """Inputs twice as high and as wide; what has no more than channels stays."""
    whole = [n for n in value[1:] if n is not None]
    return [value[0], *(n * 2 if n == max(whole) else n for n in whole)] if len(whole) > 1 else value


def _axis(value: Any, _: Config) -> Any:
    return {-1: 1, 1: 2, 2: 1, 3: 1}.get(value, value) if isinstance(value, int) else value


_ACTIVATIONS = ("relu", "tanh", "sigmoid", "silu", "elu", "gelu", "softplus", "relu6")

CHANGES: dict[str, Sequence[Change]] = {
    "kernel_size": (_each(lambda n: n + 2),),
    "pool_size": (_each(lambda n: n + 1), _each(lambda n: n + 3)),
    "strides": (_each(lambda n: 1 if n > 1 else 2),),
    "padding": (_padding,),
    "dilation_rate": (_each(lambda n: 1 if n > 1 else 2),),
    "groups": (lambda n, _: n * 2, lambda n, _: n // 2 or None),
    "filters": (lambda n, _: n * 2,),
    "units": (lambda n, _: n * 2,),
    "depth_multiplier": (lambda n, _: n + 1,),
    "activation": (_other(*_ACTIVATIONS), _other(*reversed(_ACTIVATIONS)), _other("linear", "relu")),
    "recurrent_activation": (_other("sigmoid", "tanh"), _other("hard_sigmoid")),
    "negative_slope": (lambda n, _: n + 0.1,),
    "max_value": (lambda n, _: None if n else 6.0, lambda n, _: n * 2 if n else 4.0),
    "threshold": (lambda n, _: n + 0.5,),
    "alpha": (lambda n, _: n + 0.5,),
    "axis": (_axis, lambda n, _: -1 if n == 1 else n),
    "epsilon": (lambda n, _: n * 100,),
    "use_bias": (lambda n, _: not n,),
    "center": (lambda n, _: not n,),
    "interpolation": (_other("nearest", "bilinear"),),
    "cropping": (_amounts,),
    "scale": (lambda n, _: not n if isinstance(n, bool) else n * 1.5,),
    "offset": (lambda n, _: n + 0.1,),
    "approximate": (lambda n, _: not n,),
    "num_heads": (lambda n, _: n * 2,),
    "key_dim": (lambda n, _: n * 2,),
    "value_dim": (lambda n, _: n * 2,),
    "return_sequences": (lambda n, _: not n,),
    "go_backwards": (lambda n, _: not n,),
    "reset_after": (lambda n, _: not n,),
    "merge_mode": (_other("concat", "sum"), _other("ave")),
    "use_causal_mask": (lambda n, _: not n,),
    "keepdims": (lambda n, _: not n,),
    "dims": (lambda n, _: n[::-1],),
    "n": (lambda n, _: n + 1,),
    "size": (_each(lambda n: n + 1),),
    "batch_shape": (_size,),
    "data_format": (_other("channels_last", "channels_first"),),
    "mean": (_numbers(lambda n: n + 0.1),),
    "variance": (_numbers(lambda n: n * 1.5),),
    "mode": (_other("reflect", "symmetric"), _other("constant", "reflect")),
    "x_min": (lambda n, _: n - 0.5,),
    "x_max": (lambda n, _: n + 0.5,),
    "axes": (lambda n, _: list(n[::-1]) if isinstance(n, (list, tuple)) else n,),
    "normalize": (lambda n, _: not n,),
    "value": (lambda n, _: n + 0.5 if isinstance(n, float) else n,),
}
# Classes that take each other's place, with what they take of the configuration.
CLASSES: Sequence[tuple[str, ...]] = (
    ("Add", "Multiply", "Maximum", "Average"),
    ("Add", "Subtract", "Minimum"),
    ("MaxPooling2D", "AveragePooling2D"),
    ("MaxPooling1D", "AveragePooling1D"),
    ("GlobalAveragePooling2D", "GlobalMaxPooling2D"),
    ("GlobalAveragePooling1D", "GlobalMaxPooling1D"),
    ("LayerNormalization", "RMSNormalization"),
    ("LSTM", "GRU"),
)
# Arguments whose values are easily taken for each other's.
EXCHANGED = (("num_heads", "key_dim"), ("mean", "variance"))
