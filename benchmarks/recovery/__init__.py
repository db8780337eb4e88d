"""The sweep over files: each recovered and judged by all that a recovered model must be able to do."""
