"""From a Keras model to a graph of the same vocabulary as the file's."""

from tflrecover.tracing.tracer import Trace, trace, trace_model

__all__ = ["Trace", "trace", "trace_model"]
