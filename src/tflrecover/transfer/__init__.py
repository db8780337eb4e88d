"""From matched operators to new values of Keras variables: equations, their solution, and the one place that writes."""

from tflrecover.transfer.equations import Equation, System, equations
from tflrecover.transfer.plan import Plan, plan
from tflrecover.transfer.search import settle

__all__ = ["Equation", "Plan", "System", "equations", "plan", "settle"]
