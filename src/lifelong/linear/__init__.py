"""Incremental learning for text and vectors, without a neural network: scikit-learn estimators.

Every learner takes new classes at any ``partial_fit``, and saves without pickle.
"""

from .bayes import ComplementNB, MultinomialNB
from .estimator import Incremental, load
from .means import NearestClassMean, StreamingLDA
from .merge import merge
from .ridge import RecursiveRidge

__all__ = [
    "ComplementNB",
    "Incremental",
    "MultinomialNB",
    "NearestClassMean",
    "RecursiveRidge",
    "StreamingLDA",
    "load",
    "merge",
]
