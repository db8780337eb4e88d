"""What a diff, a port or a verification found, and how it is put together."""

from tflrecover.report.report import PAIR, Action, Cell, Distribution, Report, Row, WeightStatistics

__all__ = ["PAIR", "Action", "Cell", "Distribution", "Report", "Row", "WeightStatistics"]
