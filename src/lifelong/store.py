"""Saving and loading learners: their configuration and their whole state, as arrays and JSON."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import detection, models, sources
from .data.encoder import Encoder
from .data.formats import checked_how
from .errors import NOT_FINITE, LifelongError, intact, of_types, require
from .files import read_arrays, read_manifest, write_arrays
from .ids import Ids
from .method import part_names
from .optimize import Optimizer, Schedule
from .optimize.optimizers import OPTIMIZERS
from .result import checked
from .samples import Samples

if TYPE_CHECKING:
    from .learner import Learner, Position

FORMAT = 1
Arrays = dict[str, np.ndarray]


# ---- configuration
def configuration(learner: Learner) -> dict[str, Any]:
    """What the learner was made of, as JSON knows it."""
    weights, own = learner.class_weights, _sources(learner)
    return {
        "model": _model_to_json(learner.model),
        "method": learner.method.name,
        "options": learner.method.hyperparameters,
        "objective": learner.objective.name,
        "optimizer": _optimizer_to_json(learner.optimizer),
        "batch": learner.batch,
        "epochs": learner.epochs,
        "steps": learner.max_steps,
        "seed": learner.seed,
        "device": learner.device,
        "precision": learner.precision,
        "output": learner.output,
        "backend": learner.backend.name,
        **({"boundaries": learner.boundaries.to_json()} if learner.boundaries else {}),
        **({} if weights is None else {"class_weights": weights}),  # one without keeps its run's key
        **({"sources": own} if own else {}),
    }


def _sources(learner: Learner) -> dict[str, sources.Source]:
    """Where the parts and the network come from that are not the library's own, by digests."""
    found = {part.name: sources.source(type(part)) for part in learner.method}
    found["model"] = getattr(learner.model, sources.MADE_BY, None)
    return {name: source for name, source in found.items() if source is not None}


CONFIGURATION = "the saved configuration"
TYPES: dict[str, tuple[type, ...]] = {
    "model": (dict,), "method": (str,), "options": (dict,), "objective": (str,), "optimizer": (dict,),
    "batch": (int,), "epochs": (int, type(None)), "steps": (int, type(None)), "seed": (int,),
    "device": (str,), "precision": (str,), "output": (str, type(None)), "backend": (str,),
    "boundaries": (dict,), "class_weights": (str, dict), "sources": (dict,),
}  # fmt: skip
"""Of the fields of a configuration."""


def from_configuration(configuration: dict[str, Any], **changes: Any) -> Learner:
    """A fresh learner from :func:`configuration`; ``changes`` replace arguments (model, device).

    Raises:
        LifelongError: where the configuration is none, or ``changes`` do not fit it.
    """
    from .learner import Learner

    arguments = arguments_of(configuration, **changes)
    with intact(CONFIGURATION):
        return Learner(**arguments)


def arguments_of(configuration: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The arguments of the learner of :func:`configuration`, some of them changed.

    Raises:
        LifelongError: where the configuration is none.
    """
    with intact(CONFIGURATION):
        return _arguments_of(configuration, changes)


def _arguments_of(configuration: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    from .methods import method

    require(type(configuration) is dict, "it is no object")
    optional = {"boundaries", "class_weights", "sources"}
    require(set(TYPES) - optional <= set(configuration) <= set(TYPES), "its fields are others")
    for name, value in configuration.items():
        require(type(value) in TYPES[name], f"{name} is {value!r}")
    require(_numbers_finite(configuration), "it holds numbers that are not finite")
    arguments, changes = dict(configuration), dict(changes)
    options = {part: _tuples(given) for part, given in arguments.pop("options").items()}
    own = arguments.pop("sources", {})
    named = changes.get("method")
    if named is None or isinstance(named, str):
        if named is None:
            _needs_no_file(arguments["method"], own)
        made = method(named or arguments["method"], options)
        if made.name != arguments["method"]:
            raise LifelongError(f"it was made with the method {arguments['method']}, not {made.name}")
        for part in made:
            _same_source(part.name, own.get(part.name), sources.source(type(part)))
        changes.pop("method", None)
        known, given = (
            {part: set(fields) for part, fields in held.items() if fields}
            for held in (made.hyperparameters, options)
        )
        require(known == given, "options are not there")
        arguments["method"] = made
    arguments["optimizer"] = _optimizer_from_json(arguments["optimizer"])
    if "boundaries" in arguments:
        fields = _tuples(arguments["boundaries"])
        arguments["boundaries"] = detection.make(fields.pop("name"), **fields)
    if isinstance(changes.get("model"), str):
        changes["model"] = _model_of(changes["model"], arguments, own.get("model"))
    elif "model" not in changes:
        arguments["model"] = _model_from_json(arguments["model"], own.get("model"))
    return arguments | changes


def _needs_no_file(name: str, own: dict[str, sources.Source]) -> None:
    """Refuse a method of which a part is in a file that nobody has given."""
    from .methods import registry

    missing = [part for part in part_names(name) if part in own and part not in registry()]
    if missing:
        whole = "+".join(_place(own[p]) if p in missing else p for p in part_names(name))
        model = f", model={_place(own['model'])!r}" if "model" in own else ""
        raise LifelongError(
            f"this learner was made with {missing[0]!r} of {own[missing[0]]['file']}, which it does "
            f"not hold: give the file, ll.load(path, method={whole!r}{model})"
        )


def _place(source: sources.Source) -> str:
    return f"{source['file']}:{source['name']}"


def _same_source(what: str, noted: sources.Source | None, now: sources.Source | None) -> None:
    """Warn where what was given is not what the learner was made with."""
    if noted is not None and (now is None or now["digest"] != noted["digest"]):
        warnings.warn(
            f"{what} of {noted['file']} is not what this learner was made with; it goes on with the new",
            stacklevel=2,
        )


def _model_of(text: str, arguments: dict[str, Any], noted: sources.Source | None) -> Any:
    """The network that ``own.py:network`` makes, with the arguments that it was made with."""
    if noted is None or not sources.is_file(text):
        raise LifelongError(
            f"model={text!r}: give a network, as this learner was made with none of a file"
        )
    held = _tuples(noted["arguments"])
    options = {name: value for name, value in held.items() if name not in sources.TOLD}
    made = sources.make(text, held.__getitem__, options, arguments["backend"], arguments["seed"])
    _same_source("the network", noted, getattr(made, sources.MADE_BY))
    return made


def _model_to_json(model: Any) -> dict[str, Any]:
    if isinstance(model, models.Recipe):
        return {"kind": type(model).__name__.lower(), **dataclasses.asdict(model)}
    return {
        "kind": "own",
        "class": f"{type(model).__module__}.{type(model).__qualname__}",
        "parameters": {name: list(p.shape) for name, p in _parameters(model)},
    }


def _parameters(model: Any) -> Iterable[tuple[str, Any]]:
    """Those of a PyTorch module, or of a Keras model, with their names."""
    if hasattr(model, "named_parameters"):
        return model.named_parameters()
    return ((f"{i}.{v.name}", v) for i, v in enumerate(model.variables))


def _model_from_json(
    description: dict[str, Any], made_by: sources.Source | None = None
) -> models.Recipe:
    if made_by is not None:
        raise LifelongError(
            f"this learner was made with the network {_place(made_by)}, which it does not hold: "
            f"give the file, ll.load(path, model={_place(made_by)!r})"
        )
    fields = dict(description)
    kind = fields.pop("kind")
    recipes = {r.__name__.lower(): r for r in (models.MLP, models.CNN, models.ResNet18, models.VAE)}
    if kind not in recipes:
        raise LifelongError(
            f"this learner was made with your own {fields.get('class', kind)}: "
            "make one and pass it, ll.load(path, model=module)"
        )
    return _made(recipes[kind], fields)


def _optimizer_to_json(optimizer: Optimizer) -> dict[str, Any]:
    return {"kind": type(optimizer).__name__.lower(), **dataclasses.asdict(optimizer)}


def _optimizer_from_json(description: dict[str, Any]) -> Optimizer:
    fields = dict(description)
    kind = OPTIMIZERS[fields.pop("kind")]
    return _made(kind, fields | {"schedule": _made(Schedule, fields["schedule"])})


def _made(kind: Any, fields: dict[str, Any]) -> Any:
    """A recipe of this kind, all of whose fields are given and of their types."""
    given = _tuples(fields)
    require(set(given) == {f.name for f in dataclasses.fields(kind)}, f"a {kind.__name__} lacks fields")
    of_types(given, kind, kind.__name__)
    return kind(**given)


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}


def _numbers_finite(value: Any) -> bool:
    """Whether all numbers in JSON are; it may hold NaN and infinity."""
    if isinstance(value, dict | list):
        return all(map(_numbers_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or bool(np.isfinite(value))


# ---- state
STATE = "the saved learner"


def state(learner: Learner) -> tuple[Arrays, dict[str, Any]]:
    """The learner's whole state: (arrays, JSON).

    Raises:
        LifelongError: where what it learned is not finite, so that it is neither saved nor copied.
    """
    if not learner.finite:
        raise LifelongError(NOT_FINITE)
    arrays, backend = learner.backend.state()
    arrays = {f"backend/{name}": array for name, array in arrays.items()} | {"inputs": learner.inputs}
    if learner.objective.scaled:
        arrays["scale"] = learner.scale.copy()
    parts: dict[str, Any] = {}
    for part in learner.method:
        parts[part.name] = {}
        for name, declared in part.states.items():
            held, parts[part.name][name] = declared.save()
            arrays |= {f"part/{part.name}/{name}/{key}": array for key, array in held.items()}
    manifest = {
        "scenario": learner.scenario,
        "output": learner.output,
        "classes": list(learner.classes),
        "seen": list(learner.seen),
        "old": list(learner.old),
        "retired": list(learner.retired),
        "heads": [[task, list(columns)] for task, columns in learner.heads.items()],
        "position": dataclasses.asdict(learner.position),
        "rng": learner.rng.bit_generator.state,
        "initial_parameters": learner.initial_parameters,
        "backend": backend,
        "parts": parts,
    }
    return arrays, manifest


def restore(learner: Learner, arrays: Arrays, manifest: dict[str, Any]) -> None:
    """Give a learner the state that :func:`state` returned of one made alike.

    Raises:
        LifelongError: where it is no such state, in one line. The learner then is what it was before,
            or, if that was not finite, one that has learned nothing.
    """
    kept = learner.inputs is not None and learner.finite
    before, output = state(learner) if kept else None, learner.output
    try:
        with intact(STATE):
            _restore(learner, arrays, manifest)
    except BaseException:
        learner.clear()
        learner.inputs, learner.output = None, output
        if before is not None:
            _restore(learner, *before)
        raise


def _restore(learner: Learner, arrays: Arrays, manifest: dict[str, Any]) -> None:
    from .learner import Position

    inputs, classes = arrays["inputs"], manifest["classes"]
    _check_inputs(learner, inputs)
    require(
        set(manifest["position"]) == {f.name for f in dataclasses.fields(Position)}, "it has no position"
    )
    position = Position(**manifest["position"])
    position.check()
    _check_detector(learner, position)
    _check_labels(learner, manifest)
    generator = _generator(manifest["rng"])
    learner.clear()
    try:
        learner.build(inputs)
    except LifelongError:
        raise
    except Exception:  # the frameworks have errors of their own
        raise ValueError(f"no network takes inputs {inputs.dtype}{inputs.shape}") from None
    learner.scenario, learner.output = manifest["scenario"], manifest["output"]
    learner.classes = list(classes)
    learner.seen, learner.old = list(manifest["seen"]), list(manifest["old"])
    learner.retired = list(manifest["retired"])
    learner.heads = {task: list(columns) for task, columns in manifest["heads"]}
    learner.position, learner.rng = position, generator
    if learner.objective.scaled:
        learner.scale = _scale(arrays.get("scale"), len(classes))
    learner.initial_parameters = manifest["initial_parameters"]
    counts = {"class": len(classes) if learner.backend.width else 0, "task": len(learner.heads)}
    require(
        manifest["backend"]["counts"] == counts, "the network has another number of classes, or tasks"
    )
    learner.remodel()
    learner.backend.restore(_below(arrays, "backend/"), manifest["backend"])
    require(
        learner.initial_parameters <= learner.parameters, "it began with more parameters than it has"
    )
    known = {
        "inputs",
        *({"scale"} if learner.objective.scaled else ()),
        *(f"backend/{name}" for name in _below(arrays, "backend/")),
    }
    parts = manifest["parts"]
    require(set(parts) == {part.name for part in learner.method}, "it is of another method")
    for part in learner.method:
        for name in parts[part.name].keys() - part.states.keys():
            require(parts[part.name][name] is None, f"{part.name} declares no {name}")
        for name, declared in part.states.items():
            below = f"part/{part.name}/{name}/"
            held = _below(arrays, below)
            known |= {below + key for key in held}
            with intact(f"{STATE}'s {part.name} {name}"):
                declared.load(held, parts[part.name][name])
    others = {name for name in arrays if not name.startswith("guard/")} - known
    require(not others, f"nothing declares {', '.join(sorted(others))}")
    if not learner.finite:
        raise LifelongError(
            f"{STATE} holds numbers that are not finite, as its training diverged: go back to one before"
        )


def _scale(held: np.ndarray | None, columns: int) -> np.ndarray:
    """The scale of targets; where the file has none, as before there was one, they stay as they are."""
    if held is None:
        return np.repeat([[0.0], [1.0]], columns, 1)
    fine = held.dtype == np.float64 and held.ndim == 2 and len(held) == 2
    require(
        fine and (held.shape[1] >= columns or not held.size), "the scale of the targets is another's"
    )
    told = ~np.isnan(held).all(0)
    fine = bool(np.isfinite(held[:, told]).all() and (held[1, told] > 0).all())
    require(fine, "the scale of the targets is none")
    return held.copy()


def _generator(state: Any) -> np.random.Generator:
    """The random generator in this state."""
    generator = np.random.default_rng()
    numbers = [*state["state"].values(), state["has_uint32"], state["uinteger"]]
    fine = all(type(number) is int and number >= 0 for number in numbers) and state["has_uint32"] < 2
    require(fine and state["state"]["inc"] % 2, "the random generator's state is none")
    generator.bit_generator.state = state
    require(generator.bit_generator.state == state, "the random generator's state is another's")
    return generator


def _check_inputs(learner: Learner, inputs: np.ndarray) -> None:
    """Refuse, with :class:`ValueError`, what is not the shape and type of inputs."""
    fine = inputs.ndim > 0 and len(inputs) == 1 and inputs.dtype.kind in "fiub" and not inputs.any()
    require(fine, f"the inputs are {inputs.dtype}{inputs.shape}")
    held = inputs if learner.inputs is None else learner.inputs
    require((held.shape, held.dtype.kind) == (inputs.shape, inputs.dtype.kind), "the inputs are others")


def _check_detector(learner: Learner, position: Position) -> None:
    """Refuse numbers that this learner's detector of boundaries cannot have noted."""
    if learner.boundaries is None:
        require(not position.memo and not position.ends, "there are boundaries, and no detector")
    elif position.memo:
        learner.boundaries.check(position.memo)
    else:
        require(not (position.step or position.phase), "the detector's numbers are not there")


def _check_labels(learner: Learner, manifest: dict[str, Any]) -> None:
    """Refuse scenarios, classes and heads that this learner cannot have met."""
    from .learner import OUTPUT_SPACES

    scenario, output, classes = manifest["scenario"], manifest["output"], manifest["classes"]
    if scenario is None:  # a learner within a learner
        require(not learner.objective.scenarios and output is None, "the scenario is not there")
    else:
        require(scenario in OUTPUT_SPACES, f"the scenario is {scenario!r}")
        fits = learner.output or OUTPUT_SPACES[scenario]
        require(output == fits, f"the output space is {output!r}, not {fits!r}")
        learner.check(scenario)
    require(type(classes) is list and all(type(c) is str for c in classes), "the classes are no names")
    require(learner.objective.head or not classes, "there are classes, and no head")
    seen, old, retired = (manifest[name] for name in ("seen", "old", "retired"))
    for columns in (seen, old, retired):
        _check_columns(columns, len(classes))
    require(set(old) <= set(seen) and not set(seen) & set(retired), "the classes seen are others")
    tasks = [task for task, _ in manifest["heads"]]
    _check_columns(tasks, 2**63)
    for _, columns in manifest["heads"]:
        _check_columns(columns, len(classes))
    require(output != "task" or tasks or not seen, "there are no heads")
    owned, met = {c for _, columns in manifest["heads"] for c in columns}, {*seen, *retired}
    learning = manifest["position"]["learning"]
    if len(tasks) != manifest["position"]["task"] + learning:
        require(owned <= met, "the heads are of other classes than those seen")
    elif tasks:
        require(owned == met, "the heads are of other classes than those seen")
        arriving = {classes[c] for c in manifest["heads"][-1][1]}
        coming = {c for c in set(seen) - set(old) if classes[c] not in arriving}
        require(not (learning and coming), "the classes of earlier tasks are not there")
    count = manifest["initial_parameters"]
    require(type(count) is int and count >= 0, f"the number of parameters is {count!r}")


def _check_columns(columns: Any, count: int) -> None:
    """Refuse what are not different whole numbers below ``count``."""
    fine = type(columns) is list and all(type(c) is int and 0 <= c < count for c in columns)
    require(
        fine and len(set(columns)) == len(columns), f"{columns!r} are not different columns of {count}"
    )


def _below(arrays: Arrays, prefix: str) -> Arrays:
    return {name[len(prefix) :]: a for name, a in arrays.items() if name.startswith(prefix)}


# ---- copies
def held(learner: Learner) -> dict[str, Any]:
    """All that a copy of the learner is made from: JSON and arrays, and a model of the user's own."""
    found: dict[str, Any] = {"configuration": configuration(learner)}
    if not isinstance(learner.model, models.Recipe):
        found["model"] = learner.model
    if _sources(learner).keys() - {"model"}:
        found["method"] = learner.method.parts_alone()
    if learner.inputs is not None:
        found["arrays"], found["state"] = state(learner)
    return found


def hold(learner: Learner, found: dict[str, Any]) -> None:
    """Make the empty ``learner`` that from which :func:`held` came."""
    changes = {name: found[name] for name in ("model", "method") if name in found}
    type(learner).__init__(learner, **arguments_of(found["configuration"], **changes))
    if "state" in found:
        restore(learner, found["arrays"], found["state"])


# ---- files
@dataclass
class Kept:
    """What a model file holds beside the learner."""

    extra: dict[str, Any] = field(default_factory=dict)
    """``result`` of the run so far, ``encoder`` of its tables, ``how`` its files were read."""
    guards: list[Samples] = field(default_factory=list)
    """Test sets of what was learned, ``y`` the learner's columns: an update is judged on them."""
    ids: Ids = field(default_factory=Ids)
    version: dict[str, Any] | None = None
    """Which version of its folder the file is, and where that comes from; None: of none."""
    path: Path | None = None
    """Where it was read."""
    tasks: int = 0
    """How many tasks the learner had learned then."""

    def forget(self, ids: np.ndarray) -> int:
        """Drop the rows with these ids from the guard sets; how many there were."""
        kept = [guard.take(~np.isin(guard.id, ids)) for guard in self.guards]
        judged = sum(map(len, self.guards)) - sum(map(len, kept))
        self.guards = kept
        self.ids.forget(ids)
        return judged


def save(learner: Learner, path: str | Path, kept: Kept | None = None) -> None:
    """Write the learner to one safetensors file, and beside it what is ``kept``.

    Without it, what the file held that the learner was loaded from: so loading and saving loses nothing.
    The result goes where the learner has learned another task since: it would tell of another model.
    """
    if learner.inputs is None:
        raise LifelongError("this learner has learned nothing yet: there is nothing to save")
    path = Path(path)
    if kept is None:
        kept = replace(learner.kept) if learner.kept is not None else Kept()
        if kept.path is None or path.resolve() != kept.path.resolve():
            kept.version = None
        if learner.position.task != kept.tasks:
            kept.extra = {name: value for name, value in kept.extra.items() if name != "result"}
    arrays, manifest = state(learner)
    for i, guard in enumerate(kept.guards):
        arrays |= {f"guard/{i}/{name}": array for name, array in guard.columns.items()}
    whole = {
        "format": FORMAT,
        "configuration": configuration(learner),
        "state": manifest,
        "extra": kept.extra,
        "guards": len(kept.guards),
        "ids": kept.ids.to_json(),
        "version": kept.version,
    }
    write_arrays(path, arrays | {"guard/ids": kept.ids.ranges}, whole)


def is_linear(path: Path) -> bool:
    """Whether a model file holds a linear learner, which :func:`lifelong.linear.load` reads."""
    return "linear" in read_manifest(path)


def load(path: str | Path, **changes: Any) -> Learner:
    """The learner in a file, or in use in a folder. ``model=`` gives your own module back to it.

    ``device=`` moves it. What else the file holds is kept, and written again by ``learner.save``.

    Raises:
        LifelongError: where the file is missing, broken, of another format, or holds a linear learner.
    """
    from .versions import find

    path = find(path) if Path(path).is_dir() else Path(path)
    arrays, whole = read_arrays(path)
    with intact(str(path)):
        if "linear" in whole:
            raise LifelongError(f"{path} holds a linear learner: read it with lifelong.linear.load")
        if whole.get("format") != FORMAT:
            raise LifelongError(f"{path} has format {whole.get('format')}, this version reads {FORMAT}")
        learner = from_configuration(whole["configuration"], **changes)
        restore(learner, arrays, whole["state"])
        learner.kept = _kept(path, learner, arrays, whole)
    return learner


def _kept(path: Path, learner: Learner, arrays: Arrays, whole: dict[str, Any]) -> Kept:
    """What the file holds beside the learner, checked."""
    guards = [Samples(**_below(arrays, f"guard/{i}/")) for i in range(whole["guards"])]
    for guard in guards:
        if guard.x.shape[1:] != learner.inputs.shape[1:]:
            raise LifelongError(f"{path} is damaged: a guard set has inputs of another shape")
        labels = guard.y
        if labels.shape[1:] and labels.shape[1] > learner.width:
            raise LifelongError(f"{path} is damaged: a guard set has targets of another width")
        if (
            not labels.shape[1:]
            and len(labels)
            and not -1 <= labels.min() <= labels.max() < learner.width
        ):
            raise LifelongError(f"{path} is damaged: a guard set has labels of no class")
    extra = dict(whole["extra"])
    if extra.get("result") is not None:
        extra["result"] = checked(extra["result"], str(path)).data
    if extra.get("encoder") is not None:
        Encoder.from_json(extra["encoder"])
    extra["how"] = checked_how(extra.get("how"), str(path))
    ids = Ids.of(whole.get("ids"), arrays.get("guard/ids"))
    if "ids" not in whole:  # version 0.1.0 did not note them: those of the rows that are here
        parts = [memory.samples for memory in learner.memories if memory.samples is not None]
        for samples in [*parts, *guards]:
            ids.add(samples.id)
    return Kept(extra, guards, ids, whole.get("version"), path, learner.position.task)
