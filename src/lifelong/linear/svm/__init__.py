"""Support vector machines that learn without starting over."""

from .exact import ExactSVM
from .multiclass import IncrementalSVC

__all__ = ["ExactSVM", "IncrementalSVC"]
