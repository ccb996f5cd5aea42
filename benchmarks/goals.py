"""The goals for the figures: ratios of our own to the best peer's, in the same rounds.

Those for a precision and a batch are goals of `convolutional`'s training; other models have one goal in all.
"""

from collections.abc import Iterator

from benchmarks.comparison import Comparison
from benchmarks.results import Group, Result

IMAGES_PER_S = "images/s"
GIGA = 1e9
BEST_PEER = "best peer"

_SMALL_MODEL = "convolutional"
_OVER_BEST_PEER = {
    ("float32", 50): 1.25,
    ("float32", 100): 1.25,
    ("float32", 512): 1.1,
    ("bfloat16", 50): 1.2,
    ("bfloat16", 512): 1.2,
}
_OTHERS_OVER_BEST_PEER = 1.2
_OF_OTHERS = ("float32", "bfloat16")
_EVALUATION_OVER_TRAINING = 2.5
_OF_CEILING = {("float32", 512): 0.65}
_OVER_FLOAT32 = {("bfloat16", 512): 2.5}
_SEVERAL_OVER_BEST_PEER = {("float32", 512): 1.4}
_SEVERAL_OVER_ONE = {("float32", 512): 0.97}


def comparisons(group: Group) -> Iterator[Comparison]:
    """One tower beside the best peer, by-hand code, the ceiling and float32; several towers beside peers and one."""
    ours = group.find("ours")
    if not ours:
        return
    yield from _beside(group, ours, group.best_peer(), BEST_PEER, _OVER_BEST_PEER, _of_others(group))
    yield from _beside(group, ours, group.find("ours_training"), "ours, training", {}, _EVALUATION_OVER_TRAINING)
    yield from _beside(group, ours, group.find("handwritten_pooled"), "by hand, pooled", {})
    yield from _beside(group, ours, group.find("ours_float32"), "ours in float32", _OVER_FLOAT32)
    for name in ("ours_nondeterministic", "ours_long_loop", "ours_jit", "ours_best"):
        other, peer = group.find(name), group.best_peer()
        if other and peer:
            quantity = f"{IMAGES_PER_S}, {group.title}"
            yield Comparison(quantity, other.label, BEST_PEER, group.batch, other.images_per_s, peer.images_per_s, "")
    if group.products_flops_per_s:
        _, flops_per_s = group.ceiling
        reached = [speed * group.flops_per_example / GIGA for speed in ours.images_per_s]
        most = [flops / GIGA for flops in flops_per_s]
        goal = _goal(group, _OF_CEILING)
        yield Comparison(f"GFLOP/s, {group.title}", "ours", "matrix product", group.batch, reached, most, goal)
    for number in sorted({result.num_devices for result in group.ran} - {1}):
        several = group.find("ours", number)
        if several:
            yield from _beside(group, several, group.best_peer(number), BEST_PEER, _SEVERAL_OVER_BEST_PEER)
            yield from _beside(group, several, ours, "ours", _SEVERAL_OVER_ONE)


def _beside(
    group: Group, own: Result, other: Result | None, against: str, goals: dict, otherwise: float = 0.0
) -> Iterator[Comparison]:
    """otherwise: the goal where `goals` has none; 0 for none."""
    if other:
        names = (f"{IMAGES_PER_S}, {group.title}", _name(own, "ours"), _name(other, against))
        yield Comparison(*names, group.batch, own.images_per_s, other.images_per_s, _goal(group, goals, otherwise))


def _of_others(group: Group) -> float:
    is_other = group.model != _SMALL_MODEL and group.precision in _OF_OTHERS
    return _OTHERS_OVER_BEST_PEER if is_other else 0.0


def _name(result: Result, name: str) -> str:
    return name if result.num_devices == 1 else f"{name}, {result.num_devices} devices"


def _goal(group: Group, goals: dict[tuple[str, int], float], otherwise: float = 0.0) -> str:
    has_own = group.model == _SMALL_MODEL and not group.evaluates
    goal = goals.get((group.precision, group.batch), otherwise) if has_own else otherwise
    return f">= {goal:.2f}" if goal else ""
