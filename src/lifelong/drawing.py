"""The parts of a live learner, with their parameters and bytes: as text, and as a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .backends.base import HEAD
from .files import write_figure
from .learner import Learner
from .state import Derived, MemoryState, Nested


@dataclass(frozen=True)
class Piece:
    """One part of a learner."""

    kind: str
    """inputs, shared, task, head, method, memory or optimizer"""
    name: str
    what: str
    parameters: int
    bytes: int


@dataclass(frozen=True)
class Architecture:
    """The pieces of a learner, from the inputs up. ``str()`` gives a table."""

    pieces: list[Piece]

    def __str__(self) -> str:
        rows = [(p.kind, p.name, p.what, f"{p.parameters:,}", _size(p.bytes)) for p in self.pieces]
        total = sum(p.parameters for p in self.pieces), sum(p.bytes for p in self.pieces)
        rows = [("part", "name", "what", "parameters", "bytes"), *rows]
        rows.append(("total", "", "", f"{total[0]:,}", _size(total[1])))
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if i > 2 else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )

    def draw(self, path: str | Path) -> Path:
        """Write a picture: ``.svg``, ``.png`` or ``.pdf``; the width of a bar is its share of bytes."""
        from matplotlib.figure import Figure

        colours = {
            "inputs": "#d0d0d0", "shared": "#4878a8", "task": "#e0a040", "head": "#c86848",
            "method": "#8868a8", "memory": "#58a068", "optimizer": "#a8a8a8",
        }  # fmt: skip
        count, most = len(self.pieces), max(p.bytes for p in self.pieces)
        figure = Figure(figsize=(8, 0.8 + 0.36 * count), layout="constrained")
        axes = figure.add_subplot()
        for row, piece in enumerate(self.pieces):
            axes.barh(row, max(piece.bytes / most, 0.004), color=colours[piece.kind], height=0.7)
            words = f"{piece.parameters:,} parameters, " if piece.parameters else ""
            axes.text(1.02, row, f"{words}{_size(piece.bytes)}", va="center", fontsize=8)
        labels = [f"{p.kind}: {p.name}  {p.what}".replace(":   ", ": ") for p in self.pieces]
        axes.set_yticks(range(count), labels, fontsize=8)
        axes.set_xlim(0, 1)
        axes.set_xticks([])
        for side in ("top", "right", "bottom"):
            axes.spines[side].set_visible(False)
        axes.set_title("inputs below, memory and optimizer above; bars are bytes", fontsize=9)
        return write_figure(Path(path), figure)


def architecture(learner: Learner) -> Architecture:
    """What a learner is made of now: shared layers, task-specific ones, heads, memory, state.

    ``print(ll.architecture(learner))``; ``ll.architecture(learner).draw("learner.svg")``.
    """
    item = learner.ops.numpy(learner.theta).dtype.itemsize
    shape = " x ".join(map(str, learner.inputs.shape[1:]))
    pieces = [Piece("inputs", "", f"{learner.inputs.dtype} {shape}", 0, 0)]
    layers: dict[str, list[str]] = {}
    for name in learner.backend.segments:
        layers.setdefault(name.rpartition(".")[0], []).append(name)
    for layer, names in layers.items():
        segments = [learner.backend.segments[name] for name in names]
        size = sum(s.size for s in segments)
        own = sum(s.size for s in segments if s.name in learner.layout)
        if set(names) <= set(HEAD):
            heads = {f"task {task}": columns for task, columns in learner.heads.items()}
            if learner.output != "task":
                heads = {"all": list(range(len(learner.classes)))}
            for title, columns in heads.items():
                each = size // max(1, len(learner.classes)) * len(columns)
                what = ", ".join(learner.classes[c] for c in columns[:4]) + ", ..." * (len(columns) > 4)
                pieces.append(Piece("head", title, what, each, each * item))
            continue
        kind = "task" if ".columns." in layer or ".laterals." in layer else "shared"
        if layer in {part.name for part in learner.method}:
            kind = "method"
        what = " x ".join(map(str, max(segments, key=lambda s: s.size).shape))
        pieces.append(Piece(kind, layer, what, own, size * item))
    for part in learner.method:
        for name, state in part.states.items():
            title = f"{part.name}.{name}"
            if isinstance(state, MemoryState):
                count = f"{len(state.value)} samples"
                pieces.append(Piece("memory", title, count, 0, state.value.nbytes))
            elif isinstance(state, Nested):
                inner = architecture(state.value).pieces
                size = sum(p.bytes for p in inner)
                pieces.append(Piece("method", title, "a learner of its own", 0, size))
            elif not isinstance(state, Derived):
                held = sum(array.nbytes for array in state.save()[0].values())
                if held:
                    pieces.append(Piece("method", title, type(state).__name__.lower(), 0, held))
    vectors = len(learner.backend.moments)
    if vectors:
        kind = type(learner.optimizer).__name__
        what = f"{vectors} vectors" if vectors > 1 else "a vector"
        pieces.append(Piece("optimizer", kind, what, 0, vectors * learner.backend.size * item))
    return Architecture(pieces)


def _size(count: int) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 10_000 else f"{count / 1e3:.2f} kB"
