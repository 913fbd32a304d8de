from sklearn.utils.estimator_checks import parametrize_with_checks

from lifelong.linear import (
    ComplementNB,
    MultinomialNB,
    NearestClassMean,
    RecursiveRidge,
    StreamingLDA,
)

LEARNERS = [
    MultinomialNB(),
    ComplementNB(),
    ComplementNB(norm=True),
    NearestClassMean(),
    NearestClassMean(metric="cosine"),
    NearestClassMean(metric="cosine", idf=True),
    StreamingLDA(),
    RecursiveRidge(),
    RecursiveRidge(features=20),
]


@parametrize_with_checks(LEARNERS)
def test_scikit_learn_contract(estimator, check):
    check(estimator)
