"""The sweep over Keras Applications: every model in every mode, ported from a file without names and judged."""
