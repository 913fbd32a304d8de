"""Methods around a training loop of your own: gather, edit, write back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .batch import Batch, Outputs, Step
from .errors import LifelongError, intact, require
from .files import read_arrays, write_arrays
from .learner import Learner, Phase
from .method import Method, Part
from .samples import Samples
from .stream import Task


class Attached:
    """A method attached to a model and an optimizer that you go on training yourself.

    In a plain PyTorch loop the lines marked + are added, and ``optimizer.step()`` is replaced::

        + keeper = ll.attach(model, optimizer, ll.ER(500) + ll.EWC(100))
          for x_all, y_all in tasks:
        +     with keeper.task(x_all, y_all):
                  for x, y in loader(x_all, y_all):
        +             batch = keeper.batch(x, y)  # with the stored rows that the method adds
                      scores = model(batch.x)
                      losses = cross_entropy(keeper.seen(scores), batch.y, reduction="none")
        +             loss = keeper.loss(batch, scores, losses)
                      optimizer.zero_grad()
                      loss.backward()
        +             keeper.step()  # edits the gradients, steps, edits the change, keeps the books

    In a Keras ``train_step`` (compiled with ``run_eagerly=True``, as a method draws and counts) the
    same, with ``keeper.step(tape.gradient(loss, self.trainable_variables))`` in the end.

    :meth:`seen` leaves out the classes that have not come yet, in training and in answers:
    ``keeper.seen(model(x)).argmax(1)``. Inputs come back as they were given, and where the method edits
    nothing the optimizer steps as it would in the plain loop: parameters without a gradient stay.
    Parameters are float32 or float64, with or without autocast.

    The method works on a copy of the model; the parameters are copied there and what it changes is
    copied back, so the optimizer may be any. Methods that replace the data, the loss, the network or
    the phases of training (joint, iCaRL, HAT, PackNet ...) need a learner and are refused.

    Where the block of a task raises, or leaves parameters that are not finite (then it raises
    :class:`LifelongError`), the model, the optimizer and the method are what they were before it.
    """

    def __init__(
        self,
        model: Any,
        optimizer: Any,
        method: str | Part | Method,
        *,
        scenario: str = "class",
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        torch = hasattr(model, "named_parameters")
        if torch:
            from .backends.torch_loop import TorchLoop as Loop
            from .backends.torch_loop import options
        else:
            from .backends.tensorflow_loop import TensorflowLoop as Loop  # type: ignore[assignment]
            from .backends.tensorflow_loop import options
        self.model, self.optimizer = model, optimizer
        own: dict[str, Any] = options(model, optimizer) | ({"device": device} if device else {})
        self.learner = Learner(
            model, method, seed=seed, backend="torch" if torch else "tensorflow",
            output="seen" if scenario == "class" else "all", **own,
        )  # fmt: skip
        self.learner.backend.as_given = True
        for part in self.learner.method:
            taken = {"data", "criterion", "readout", "model", "parameters"} & set(part.slots)
            if taken or type(part).phases is not Part.phases:
                what = ", ".join(sorted(taken)) or "phases"
                raise LifelongError(f"{part.name} replaces {what} of the loop: use ll.Learner with it")
        self.loop: Any = Loop(model, optimizer, self.learner.backend)
        self.scenario, self.met, self.last = scenario, 0, Phase(last=True)
        self._forward: tuple[Batch, Outputs] | None = None
        self._rows = 0

    @contextmanager
    def task(self, x: Any, y: Any) -> Iterator[None]:
        """A task, of which these are all training samples: the loop over its batches goes within.

        Args:
            x: inputs ``[n, ...]``, as the model takes them.
            y: labels ``[n]``, whole numbers below the number of the model's outputs.

        Raises:
            LifelongError: for samples that the model cannot take, and where parameters are not finite
                when the block ends.
        """
        with self._undone_where_it_fails():
            entered = self._enter(x, y)
            yield
            self._leave(entered)

    @contextmanager
    def _undone_where_it_fails(self) -> Iterator[None]:
        learner, own = self.learner, self.loop.held()
        state = None if learner.inputs is None else learner.state()
        try:
            yield
        except BaseException:
            learner.clear()
            learner.inputs = None
            if state is not None:
                learner.restore(*state)
            self.loop.hold(own)
            self._forward = None
            raise

    def _enter(self, x: Any, y: Any) -> Task:
        learner, number = self.learner, self.learner.position.task
        samples = self._samples(x, y, np.arange(self.met, self.met + len(x)), number)
        if learner.inputs is None:
            learner.start(samples, self.scenario)
        names = tuple(map(str, range(learner.backend.outputs or 0)))
        learner.grow(names[len(learner.classes) :])  # a class is the score of its number
        if len(samples) and not 0 <= samples.y.min() <= samples.y.max() < len(names):
            raise LifelongError(f"labels up to {samples.y.max()}: the model ends in {len(names)} scores")
        place = (number, number + 1)
        task = Task(f"task {number + 1}", samples, Samples(), names, self.scenario, place, None, number)
        self._rows = 0
        self._gather()
        with self.loop.exact():
            return learner.enter(task)

    def _leave(self, task: Task) -> None:
        self._gather()
        with self.loop.exact():
            self.learner.consolidate(task, self.last)
        self.loop.scatter()
        self.learner.leave()
        self.met += len(task.train)

    def batch(self, x: Any, y: Any, at: Any = None) -> Batch:
        """The rows to train on: ``batch.x``, ``batch.y``, tensors; yours first, then those added.

        In the first pass over the task's samples a memory is offered each row. ``at`` says which of
        the task's samples these are, ``int [rows]``; without it they are counted in the first pass
        and unknown later, which only DER and DER++ mind (they renew what they stored).
        """
        if not self.learner.position.learning:
            raise LifelongError("no task has begun: put the loop within `with keeper.task(x, y):`")
        assert self.learner.task is not None
        count, first = len(x), self._rows < len(self.learner.task.train)
        if at is None:
            at = np.arange(self._rows, self._rows + count) if first else np.full(count, -self.met - 1)
        rows = self._samples(x, y, self.met + np.asarray(at), self.learner.position.task)
        self._rows += count
        self.learner.check_finite(rows.x)
        batch = Batch(rows, rows if first else None)
        self._gather()
        with self.loop.exact():
            self.learner.prepare(batch)
        return batch

    def seen(self, scores: Any) -> Any:
        """The scores ``[rows, classes]``, those of classes that have not come yet at -1e9.

        Under the scenario ``class``; elsewhere all classes are there from the start.
        """
        learner = self.learner
        if not learner.seen:
            raise LifelongError("no class has come yet: put the loop within `with keeper.task(x, y):`")
        if learner.output == "all" or len(learner.seen) == learner.width:
            return scores
        return learner.ops.where(learner.indicator(learner.seen), learner.ops.cast(scores), -1e9)

    def loss(self, batch: Batch, scores: Any, losses: Any) -> Any:
        """What to differentiate: the batch's loss and the method's own terms, a scalar.

        Args:
            scores: the model's outputs for ``batch.x``, ``[rows, classes]``.
            losses: your loss of every row, ``[rows]``, not reduced.
        """
        ops = self.learner.ops
        with self.loop.exact():
            out = Outputs(scores=ops.cast(scores))
            self._forward = batch, out
            return self.learner.total(batch, out, ops.cast(losses))

    def step(self, gradients: Any = None) -> None:
        """In place of ``optimizer.step()``; ``gradients``: the tape's, of a Keras model."""
        with self.loop.exact():
            self._step(gradients)

    def _step(self, gradients: Any) -> None:
        if self._forward is None:
            raise LifelongError("nothing to step on: call keeper.loss(batch, scores, losses) before")
        (batch, out), learner = self._forward, self.learner
        self._forward = None
        g = applied = self.loop.gradient(gradients)
        for edit in learner.hooks["gradient"]:
            applied = edit(learner, batch, applied)
        if learner.hooks["step"] or learner.hooks["observe"]:
            before = learner.snapshot()
            self.loop.apply(applied)
            self._watch(batch, out, g, applied, before)
        else:  # nobody asks how far the parameters moved
            self.loop.apply(applied)
        learner.position.step += 1

    def _watch(self, batch: Batch, out: Outputs, g: Any, applied: Any, before: Any) -> None:
        """The optimizer has stepped: edit the change, keep the books."""
        self._gather()
        learner = self.learner
        d = made = learner.theta - before
        for edit in learner.hooks["step"]:
            d = edit(learner, d)
        if learner.hooks["step"]:
            learner.assign(learner.ops.where(d == made, learner.theta, before + d))
            self.loop.scatter()
        for observe in learner.hooks["observe"]:
            observe(learner, Step(batch, out, (g, applied, d), 1.0, learner.backend.flat))

    def _gather(self) -> None:
        """theta = the model's parameters."""
        self.loop.gather()
        self.learner.moves += 1

    def save(self, path: str | Path) -> None:
        """Write what the method knows, and the parameters, to one safetensors file, between tasks."""
        if self.learner.position.learning:
            raise LifelongError("a task is being learned: save between tasks")
        arrays, manifest = self.learner.state()
        write_arrays(Path(path), arrays, {"state": manifest, "met": self.met})

    def load(self, path: str | Path) -> None:
        """Go on from what :meth:`save` wrote; the optimizer's state is yours to keep.

        Raises:
            LifelongError: where the file is missing, broken or of another model or method.
        """
        arrays, manifest = read_arrays(Path(path))
        with intact(str(path)):
            state, met = manifest["state"], manifest["met"]
            require(type(met) is int and met >= 0, f"the number of samples met is {met!r}")
        self.learner.restore(arrays, state | {"output": self.learner.output})
        self.met = met
        self.loop.scatter()

    def _samples(self, x: Any, y: Any, ids: np.ndarray, number: int) -> Samples:
        x, y = _array(x), _array(y)
        if y.dtype.kind not in "iu" or y.ndim != 1 or len(x) != len(y):
            raise LifelongError(f"labels {y.dtype}{list(y.shape)}: give whole numbers [{len(x)}]")
        columns = {"task": np.full(len(y), number)} if self.scenario in ("task", "class") else {}
        return Samples(x=x, y=y.astype(np.int64), id=ids.astype(np.int64), **columns)


def _array(values: Any) -> np.ndarray:
    """A tensor, or what is like an array, as one."""
    kind = getattr(values, "dtype", type(values).__name__)
    try:
        found = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    except (TypeError, ValueError, RuntimeError):
        found = np.array(None)
    if found.dtype.kind not in "fiub" or not found.ndim:
        raise LifelongError(f"samples of {kind}: give dense arrays or tensors of numbers [n, ...]")
    return found


def attach(model: Any, optimizer: Any, method: str | Part | Method, **options: Any) -> Attached:
    """Attach a method to your own PyTorch or Keras model and loop; see :class:`Attached`."""
    return Attached(model, optimizer, method, **options)
