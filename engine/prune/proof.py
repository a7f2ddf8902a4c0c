"""Channels whose removal was tried: a model that no longer runs, or gives other shapes, is never handed out."""

from collections.abc import Iterable

import torch

from engine.model import Model
from engine.prune.channels import Channels, Group

_BROKEN = (RuntimeError, ValueError, IndexError, KeyError, AssertionError, AttributeError, TypeError)


def proven(model: Model, ignore: Iterable[str] = ()) -> Channels:
    """The channels of the model without those groups whose removal breaks it, which are named as such."""
    ignore = tuple(ignore)
    channels = Channels(model, ignore)
    if _runs_without(model, ignore, None):
        return channels
    bad = [group for group in channels.groups if not _runs_without(model, ignore, group)]
    for group in bad:
        channels.hold(group, "the graph was tried without some of its channels and did not run")
    return channels


def _runs_without(model: Model, ignore: tuple[str, ...], only: Group | None) -> bool:
    """Whether a copy runs with one unit less in each group, or in this one, and gives outputs of the same shapes."""
    trial = model.copy()
    inputs = trial.signature.tensors(2)
    channels = Channels(trial, ignore)
    groups = [group for group in channels.groups if only is None or group.key == only.key]
    units = [int(group.units[0]) for group in groups if len(group.units) > 1]
    with torch.no_grad():
        wanted = [tuple(value.shape) for value in trial.run(inputs)]
        try:
            channels.remove(units)
            return [tuple(value.shape) for value in trial.run(inputs)] == wanted
        except _BROKEN:
            return False
