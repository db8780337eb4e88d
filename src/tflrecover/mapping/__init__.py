"""The mapping: what structure cannot know, or what a user wants otherwise, said in YAML."""

from tflrecover.mapping.loader import Mapping
from tflrecover.mapping.resolve import OpName, ResolvedAccept, ResolvedMapping, ResolvedWeight, resolve

__all__ = ["Mapping", "OpName", "ResolvedAccept", "ResolvedMapping", "ResolvedWeight", "resolve"]
