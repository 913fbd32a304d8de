"""Deep generative replay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...batch import Batch
from ...errors import LifelongError, at_least
from ...method import Part
from ...models import vae
from ...samples import Samples

if TYPE_CHECKING:
    from ...batch import Step
    from ...learner import Learner, Phase
    from ...stream import Task


@dataclass(eq=False)
class DGR(Part):
    """Replay what a generator dreams of the past, with the labels that the old solver gives it.

    In task c, solver and generator both train on
    1/c loss(stream's rows) + (1 - 1/c) loss(generated rows)   (Shin et al., eq. 1, r = 1/c),
    where the rows come from the generator, and the labels from the solver, of task c - 1.

    Args:
        hidden: widths of the encoder; the decoder mirrors them.
        latent: dimensions of the code.
        rows: generated rows a step; None: as many as the stream's.
    """

    hidden: tuple[int, ...] = (400, 400)
    latent: int = 100
    rows: int | None = None

    name = "dgr"
    family = "generative"
    paper = "Shin et al., Continual learning with deep generative replay (NeurIPS 2017)"
    scenarios = ("task", "domain", "class")
    needs = ("boundaries", "raw inputs", "labels")
    revisits = True

    def __post_init__(self) -> None:
        at_least(1, rows=self.rows, latent=self.latent)

    def start(self, learner: Learner) -> None:
        self.generator = self.learner(vae(*self.hidden, latent=self.latent), "reconstruction")
        self.old_generator = self.snapshot(self.generator)
        self.old_solver = self.snapshot()

    def begin(self, learner: Learner, task: Task) -> None:
        x = task.train.x
        if x.dtype != np.uint8 and (x.min() < 0 or x.max() > 1):
            raise LifelongError("dgr generates pixels: give uint8 images, or floats in [0, 1]")

    def batch(self, learner: Learner, batch: Batch) -> None:
        c = learner.position.task + 1
        if c > 1:
            rows = self._dream(learner, self.rows or len(batch.samples), batch.samples)
            batch.add(rows, by=self, weight=c - 1)

    def _dream(self, learner: Learner, count: int, like: Samples) -> Samples:
        """Generated inputs with the old solver's labels (and, where ids are told, a past task)."""
        ops = learner.ops
        code = ops.tensor(learner.rng.standard_normal((count, self.latent), dtype=np.float32))
        blank = Samples(x=np.zeros((count, *like.x.shape[1:]), like.x.dtype))
        scores = self.generator.outputs(blank, at=self.old_generator, code=code).scores
        x = ops.numpy(ops.sigmoid(scores)).reshape(blank.x.shape)
        if like.x.dtype == np.uint8:
            x = np.rint(x * 255)
        dreams = Samples(x=x.astype(like.x.dtype), id=np.full(count, -1))
        answers = ops.numpy(learner.outputs(dreams, at=self.old_solver).scores)
        heads = [learner.old]
        if learner.output == "task":  # each dream is given to one of the past tasks' heads
            task = learner.rng.choice(list(learner.heads)[:-1], count)
            heads, dreams = [learner.heads[t] for t in task], dreams.replace(task=task)
        allowed = np.stack([np.isin(np.arange(answers.shape[1]), head) for head in heads])
        return dreams.replace(y=np.where(allowed, answers, -np.inf).argmax(1))

    def observe(self, learner: Learner, step: Step) -> None:
        inner = Batch(Samples(x=step.batch.samples.x))
        dreams = step.batch.added(self)
        if dreams is not None:
            inner.add(Samples(x=dreams.x), by=self, weight=learner.position.task)
        self.generator.rate = learner.rate
        self.generator.step(inner)

    def end(self, learner: Learner, task: Task, phase: Phase) -> None:
        if phase.last:
            self.old_generator = self.generator.snapshot()
            self.old_solver = learner.snapshot()
