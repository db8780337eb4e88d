"""Reads TFLite flatbuffers. The only package that knows the schema; it imports neither TensorFlow nor Keras."""

from tflrecover.tflite.flatten import flattened
from tflrecover.tflite.model import Signature, TFLiteModel
from tflrecover.tflite.quantization import quantized
from tflrecover.tflite.reader import read

__all__ = ["Signature", "TFLiteModel", "flattened", "quantized", "read"]
