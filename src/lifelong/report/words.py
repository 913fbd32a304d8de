"""The verdict in plain words, and numbers as people read them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..names import printable, short
from .groups import Entry, Group, flatten, groups, matrix, mean_over_seeds
from .statistics import Interval, difference, gap_closed, interval

DASH = "–"


def percent(share: float | None, digits: int = 1) -> str:
    """0.9123 as "91.2"."""
    return DASH if share is None or np.isnan(share) else _minus(f"{100 * share:.{digits}f}")


def signed(share: float | None) -> str:
    """0.013 as "+1.3", −0.013 as "−1.3"."""
    return DASH if share is None or np.isnan(share) else _minus(f"{100 * share:+.1f}")


def size(number: float | None) -> str:
    """1_568_000 bytes as "1.6 MB"."""
    if number is None:
        return DASH
    if number < 999.5:
        return f"{number:.0f} B"
    power = 1 if number < 999.5e3 else 2 if number < 999.5e6 else 3
    number /= 1000**power
    return f"{number:.{0 if number >= 99.5 else 1}f} {' kMG'[power]}B"


def between(x: Interval) -> str:
    """As in "95 % interval 1.0 to 2.0", or why there is none."""
    if x.low is None or x.high is None:
        return "one seed, no interval" if x.n == 1 else "the same on every seed, no interval"
    return f"95 % interval {percent(x.low)} to {percent(x.high)}"


def away(x: Interval) -> Interval:
    """A difference turned round if need be, so that its mean is not negative."""
    return x if x.mean >= 0 else Interval(-x.mean, x.half, x.n)


def count(n: int, noun: str) -> str:
    """As in "1 seed", "3 seeds"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def listed(names: list[str]) -> str:
    """As in "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _minus(text: str) -> str:
    """A true minus sign, and none before zero."""
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", "−")


def verdict(results: dict[str, Any]) -> str:
    """What came out, in one to four sentences; one line for each group of comparable runs."""
    return "\n".join(verdict_of(group) for group in groups(results))


def verdict_of(group: Group) -> str:
    """The verdict on one group."""
    if len(group.entries) == 1:
        sentences = _alone(group)
    elif not group.contenders:
        sentences = _references(group)
    else:
        sentences = _compared(group)
    return printable(" ".join(sentences))


def _where(group: Group) -> str:
    rest = count(group.length, "task") if group.alone else group.rest
    return f"On {group.name} ({group.scenario} scenario, {rest})"


def _references(group: Group) -> list[str]:
    found = [f"{e.name} {percent(e.mean('average_accuracy'))} %" for e in group.entries]
    return [f"{_where(group)} there is no method to judge: only {listed(found)}."]


def _average(group: Group) -> str:
    """As in "average accuracy"."""
    return f"average {short(group.score)}"


def _alone(group: Group) -> list[str]:
    """One method and nothing beside it."""
    entry = group.entries[0]
    values = list(entry.values("average_accuracy").values())
    if not values:
        return [f"{_where(group)}, {entry.name} has no {_average(group)}."]
    average = interval(values)
    spread = f" ({between(average)}, {count(average.n, 'seed')})" if average.n > 1 else ""
    progressive = entry.first.get("progressive")
    whole = " on rows held out of the whole stream" if progressive and group.length == 1 else ""
    sentences = [
        f"{_where(group)}, {entry.name} ends with an {_average(group)} of"
        f" {percent(average.mean)} %{spread}{whole}.",
        _forgot_most(entry),
    ]
    if average.n == 1:
        sentences.append("This is one seed, so no interval can be given.")
    if progressive:
        first = f" (seed {min(entry.runs)})" if len(entry.runs) > 1 else ""
        sentences.append(
            f"Row by row, before it learned each{first}, {short(progressive['verdict'], 300)}."
        )
    else:
        sentences.append(_advice(group, entry))
    return [s for s in sentences if s]


def _advice(group: Group, entry: Entry) -> str:
    """What to run beside a method that stands alone: only what can be run there."""
    if entry.linear:
        # Complement naive Bayes takes counts, which texts are and tables need not be.
        texts = "text" in entry.first["hyperparameters"]
        names = [name for name in ("cnb", "ncm") if name != entry.method and (texts or name != "cnb")]
        what, bars = "a learner that no order can change", " or ".join(names)
        how = "run and update" if group.updated else "run"
        return f"To judge it, {how} {what} beside it: {bars}." if names else ""
    if group.length == 1:
        return "There is one task, so nothing can be forgotten yet."
    bounds = [name for name in _BOUND if name != entry.method and _runs(name, group, entry)]
    if not bounds:
        return ""
    told = listed([f"{name} (the {_BOUND[name]} bound)" for name in bounds])
    updated = (
        " and update it in the same way" if len(bounds) == 1 else " and update both in the same way"
    )
    return f"To judge it, run {told} beside it{updated if group.updated else ''}."


def _runs(name: str, group: Group, entry: Entry) -> bool:
    """Whether a bound can be run in the group's scenario, trained as the entry was."""
    from ..methods import registry

    schedule = flatten(entry.first["hyperparameters"]).get("optimizer.schedule.per")
    return group.scenario in registry()[name].scenarios and (name != "joint" or schedule != "stream")


_BOUND = {"naive": "lower", "joint": "upper"}


def _forgot_most(entry: Entry) -> str:
    """Which task fell from what to what."""
    matrices = [matrix(run) for run in entry.runs.values()]
    past = mean_over_seeds(matrices)[:-1]
    peak = np.where(np.isnan(past), -np.inf, past).max(axis=0, initial=-np.inf)[:-1]
    last = mean_over_seeds(matrices)[-1, :-1]
    drop = np.where(np.isnan(last), -np.inf, peak - last)
    if not np.isfinite(drop).any():
        return ""
    worst = int(drop.argmax())
    mean = " on average over the seeds" if len(entry.runs) > 1 else ""
    if drop[worst] <= 0:
        return f"It forgot nothing: no earlier task is below its best{mean}."
    names = {run["tasks"][worst] for run in entry.runs.values()}
    name = f" ({short(names.pop())})" if len(names) == 1 else ""
    return (
        f"It forgot task {worst + 1}{name} most, which fell from"
        f" {percent(peak[worst])} % to {percent(last[worst])} %{mean}."
    )


def _compared(group: Group) -> list[str]:
    """Several methods, at least one of which competes."""
    best, *others = group.contenders
    naive, joint = group.bound("naive", best), group.bound("joint", best)
    sentences = [
        f"{_where(group)}, {_ahead(best, others)} the highest {_average(group)},"
        f" {percent(best.mean('average_accuracy'))} %"
        f"{'' if best.linear else _over_naive(difference(best, naive))}.",
        _under_joint(group, best, naive, difference(best, joint)),
    ]
    if len(group.seeds) == 1:
        sentences.append(_one_seed(best, others))
    elif others:
        sentences.append(_first_two(best, others))
    sentences += [_below_naive(group), _row_by_row(group)]
    return [s for s in sentences if s]


def _ahead(best: Entry, others: list[Entry]) -> str:
    """As in "er has", or "er and cw have" where they are equal."""
    top = best.mean("average_accuracy")
    labels = [best.name, *(e.name for e in others if e.mean("average_accuracy") == top)]
    return f"{listed(labels)} {'has' if len(labels) == 1 else 'have'}"


def _over_naive(d: Interval | None) -> str:
    if d is None:
        return " (naive was not run on these seeds: no lower bound)"
    return f", {_beside(d, 'naive')}"


def _beside(d: Interval, name: str) -> str:
    """As in "1.0 points above naive (95 % interval 0.5 to 1.5)"."""
    text = f"{percent(abs(d.mean))} points {'above' if d.mean >= 0 else 'below'} {name}"
    if d.half is None:
        return text
    doubt = "" if d.distinguishable else "not distinguishable from it, "
    return f"{text} ({doubt}{between(away(d))})"


def _under_joint(group: Group, best: Entry, naive: Entry | None, d: Interval | None) -> str:
    """How near joint is, and how much is forgotten."""
    parts = []
    if d is not None:
        text = f"it is {_beside(d, 'joint')}"
        share = gap_closed(group, best)
        if share is not None:
            text += f", closing {percent(share, 0)} % of the gap between naive and joint"
        parts.append(text)
    forgetting = best.mean("forgetting")
    if forgetting is not None:
        text = f"it forgets {percent(forgetting)} points of an earlier task on average"
        if forgetting < 0:
            text = f"an earlier task ends {percent(-forgetting)} points above its best on average"
        other = naive.mean("forgetting") if naive else None
        parts.append(text + (f" (naive: {percent(other)})" if other is not None else ""))
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _one_seed(best: Entry, others: list[Entry]) -> str:
    text = "This is one seed, so no interval can be given"
    d = difference(best, others[0]) if others else None
    if d is None:
        return f"{text}."
    return (
        f"{text}: whether {best.name} and {others[0].name}, {percent(abs(d.mean))} points apart,"
        " differ at all cannot be said."
    )


def _first_two(best: Entry, others: list[Entry]) -> str:
    """Whether the first two differ; if not, which others cannot be told from the best either."""
    second = others[0]
    d = difference(best, second)
    if d is None or d.n == 1:
        return f"{best.name} and {second.name} share too few seeds to be compared in pairs."
    points = percent(abs(d.mean))
    if d.distinguishable is None:
        return (
            f"The second, {second.name}, is {points} points behind on every seed: the seeds change"
            " nothing between the two, so no interval can be given."
        )
    if d.distinguishable:
        side = "behind" if d.mean > 0 else "ahead on the seeds both have"
        return (
            f"It is distinguishable from the second, {second.name}, which is {points} points"
            f" {side} ({between(away(d))})."
        )
    alike = [
        e.name
        for e in others[1:]
        if (x := difference(best, e)) is not None and x.distinguishable is False
    ]
    also = f"; nor {'is' if len(alike) == 1 else 'are'} {listed(alike)}" if alike else ""
    return (
        f"{best.name} and the second, {second.name}, are not distinguishable"
        f" ({points} points apart, {between(away(d))}){also}."
    )


def _below_naive(group: Group) -> str:
    """Methods that do worse than doing nothing about forgetting."""
    below = []
    for entry in group.contenders:
        d = difference(entry, group.bound("naive", entry))
        if d is not None and d.mean < 0:
            doubt = ", not distinguishable" if d.distinguishable is False else ""
            below.append(f"{entry.name} ({signed(d.mean)} points{doubt})")
    return f"Below naive: {listed(below)}." if below else ""


def _row_by_row(group: Group) -> str:
    """Who predicts a stream best, and who no better than what needs no learning."""
    asked = [e for e in group.entries if e.mean("prequential_accuracy") is not None]
    if group.scenario != "free" or not asked:
        return ""
    best = max(asked, key=lambda e: e.mean("prequential_accuracy") or 0.0)
    text = (
        f"Row by row, before it learns each, {best.name} is right"
        f"{' most often,' if len(asked) > 1 else ''} {percent(best.mean('prequential_accuracy'))} %"
        f"{'' if len(asked) > 1 else ' of the time'}."
    )
    below: dict[str, list[str]] = {}
    for entry in asked:
        found = [p for run in entry.runs.values() if (p := run.get("progressive"))]
        if bars := [p["below"] for p in found if p["below"]]:
            bar = bars[0]
            share = float(np.mean([p["scores"][bar]["accuracy"] for p in found]))
            seeds = f" on {len(bars)} of {len(found)} seeds" if len(bars) < len(found) else ""
            what = f"no better than {bar}, which is right {percent(share)} % of the time{seeds}"
            below.setdefault(what, []).append(entry.name)
    for what, labels in below.items():
        text += f" {listed(labels)} {'is' if len(labels) == 1 else 'are'} {what}."
    return text
