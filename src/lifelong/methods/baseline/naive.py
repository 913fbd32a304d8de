"""Fine-tuning, the lower bound."""

from dataclasses import dataclass

from ...method import Part


@dataclass(eq=False)
class Naive(Part):
    """Learn each task as it comes and do nothing about the others: the lower bound."""

    name = "naive"
    family = "baseline"
    paper = "McCloskey & Cohen, Catastrophic interference in connectionist networks (1989)"
