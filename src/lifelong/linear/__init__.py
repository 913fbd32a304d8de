"""Incremental learning for text and vectors, without a neural network: scikit-learn estimators.

Every learner takes new classes at any ``partial_fit``, and saves without pickle.
"""

from .estimator import Incremental, load
from .progressive import Progressive, progressive_validation
from .river import to_river

__all__ = ["Incremental", "Progressive", "load", "progressive_validation", "to_river"]
