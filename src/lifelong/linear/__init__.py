"""Incremental learning for text and vectors, without a neural network: scikit-learn estimators.

Every learner takes new classes at any ``partial_fit``, and saves without pickle.
"""

from .bayes import ComplementNB, MultinomialNB
from .defaults import make
from .estimator import Incremental
from .explain import diff, explain
from .means import NearestClassMean, StreamingLDA
from .merge import merge
from .online import AROW, CW, NHERD, PA, PA1, PA2, SCW1, SCW2, Perceptron
from .packed import load
from .progressive import Progressive, progressive_validation
from .replay import Replay
from .ridge import RecursiveRidge
from .river import to_river
from .svm import LASVM, ExactSVM, IncrementalSVC, KeepSupport
from .text import HashingText, TextClassifier

__all__ = [
    "AROW", "CW", "LASVM", "NHERD", "PA", "PA1", "PA2", "SCW1", "SCW2", "ComplementNB", "ExactSVM",
    "HashingText", "Incremental", "IncrementalSVC", "KeepSupport", "MultinomialNB", "NearestClassMean",
    "Perceptron", "Progressive", "RecursiveRidge", "Replay", "StreamingLDA", "TextClassifier", "diff",
    "explain", "load", "make", "merge", "progressive_validation", "to_river",
]  # fmt: skip
