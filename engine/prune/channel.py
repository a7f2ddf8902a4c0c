"""Structured pruning over the dependency graph (Fang et al. 2023, arXiv 2301.12900), by Torch-Pruning.

Layers that produce the output, layers that the caller names, and layers whose channels are tied to constants in the
graph (attention heads, reshapes into parts) are left alone; the last are found by trying.
"""

from collections.abc import Callable, Iterable
from fnmatch import filter as fnmatch_filter
from functools import partial

import torch_pruning
from torch import fx, nn

from engine.context import Context
from engine.model import WEIGHTED, Model
from engine.quiet import quiet
from engine.train import cross_entropy, train
from pith.prune import PruneChannel


def apply(model: Model, config: PruneChannel, ctx: Context) -> Model:
    named = _named(model, config, ctx)
    widths = ctx.memo.setdefault("widths", {name: width(module) for name, module in model.layers()})
    kept = set(ctx.memo.setdefault("kept", sorted(named | tied_layers(model, output_layers(model.graph) | named))))
    if kept >= set(widths):
        raise ctx.inapplicable("no layer has channels that may be removed", "leave this step out or shorten ignore")
    for phase in ctx.phases(config.iterations):
        if not ctx.resuming:
            _prune(model, config, _targets(widths, kept, config, phase), kept)
            ctx.events.emit("metric", "channels left", widths={name: width(module) for name, module in model.layers()})
        if config.recovery:
            train(model, ctx.training_data(labels=True), config.recovery, cross_entropy(), ctx)
    if all(width(module) == widths[name] for name, module in model.layers()):
        raise ctx.inapplicable(
            f"no layer is wide enough to lose {config.pruning_ratio:.0%} and stay a multiple of {config.round_to}",
            "raise pruning_ratio or lower round_to",
        )
    return model


def _named(model: Model, config: PruneChannel, ctx: Context) -> set[str]:
    """The layers that the caller wants left alone; a pattern that names none is a mistake, and never a silent one."""
    names = [name for name, _ in model.layers()]
    for pattern in config.ignore:
        if not fnmatch_filter(names, pattern):
            shown = ", ".join(names[:40]) + (", …" if len(names) > 40 else "")
            raise ctx.inapplicable(f"ignore has {pattern!r}, which matches no layer", f"name some of {shown}")
    return {name for pattern in config.ignore for name in fnmatch_filter(names, pattern)}


def width(module: nn.Module) -> int:
    """Output channels of a convolution or linear layer."""
    return int(getattr(module, "out_channels", 0) or getattr(module, "out_features", 0))


def output_layers(graph: fx.GraphModule) -> set[str]:
    """Layers whose channels are the model's own outputs: walk back from the output to the nearest layers."""
    modules, found = dict(graph.named_modules()), set()
    (waiting,) = [[node] for node in graph.graph.nodes if node.op == "output"]
    seen: set[fx.Node] = set()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.op == "call_module" and isinstance(modules[str(node.target)], WEIGHTED):
            found.add(str(node.target))
        else:
            waiting.extend(node.all_input_nodes)
    return found


def tied_layers(model: Model, kept: set[str]) -> set[str]:
    """``kept``, and every layer whose channels cannot change because the graph then no longer runs."""
    if _runs_after(model, lambda trial: _prune_all(trial, kept)):
        return kept
    return kept | {root for root in _roots(model, kept) if not _runs_after(model, partial(_halve, root=root))}


def _runs_after(model: Model, change: Callable[[Model], None]) -> bool:
    trial = model.copy()
    try:
        wanted = trial.graph(trial.signature.tensor()).shape
        change(trial)
        return bool(trial.graph(trial.signature.tensor()).shape == wanted)
    except (RuntimeError, ValueError, IndexError, KeyError, AssertionError, AttributeError, TypeError):
        return False


def _prune_all(trial: Model, kept: set[str]) -> None:
    _pruner(trial, {name: 0.5 for name, _ in trial.layers() if name not in kept}, kept, "layer", 2, None).step()


def _roots(model: Model, kept: set[str]) -> list[str]:
    """One layer of each group of layers that lose their channels together."""
    names = {module: name for name, module in model.layers()}
    ignored = [module for module, name in names.items() if name in kept]
    groups = _dependencies(model).get_all_groups(ignored, root_module_types=list(WEIGHTED))
    return [names[group[0].dep.target.module] for group in groups]


def _halve(trial: Model, root: str) -> None:
    dependencies = _dependencies(trial)
    module = dict(trial.layers())[root]
    prune_out = dependencies.get_pruner_of_module(module).prune_out_channels
    dependencies.get_pruning_group(module, prune_out, list(range(width(module) // 2))).prune()


def _dependencies(model: Model) -> torch_pruning.DependencyGraph:
    with quiet():
        return torch_pruning.DependencyGraph().build_dependency(model.graph, model.signature.tensor())


def ratio_for(target: int, size: int) -> float:
    """The ratio that leaves exactly ``target`` channels: Torch-Pruning keeps ``int(size * (1 - ratio))`` of them."""
    return 1 - (target + 1e-3) / size


def _targets(widths: dict[str, int], kept: set[str], config: PruneChannel, phase: int) -> dict[str, int]:
    """Channels that each layer shall have after this phase."""
    ratio = config.pruning_ratio * (phase + 1) / config.iterations
    unit = config.round_to
    return {
        name: min(size, max(unit, round(size * (1 - ratio) / unit) * unit))
        for name, size in widths.items()
        if name not in kept
    }


def _prune(model: Model, config: PruneChannel, targets: dict[str, int], kept: set[str]) -> None:
    now = {name: width(module) for name, module in model.layers() if name in targets}
    norm = 1 if config.importance == "l1" else 2
    if config.scope == "layer":
        ratios = {name: ratio_for(targets[name], now[name]) for name in now if targets[name] < now[name]}
        _pruner(model, ratios, kept, "layer", norm, None).step()
    else:
        ratio = 1 - sum(targets.values()) / sum(now.values())
        _pruner(model, ratio, kept, "global", norm, config.round_to).step()


def _pruner(
    model: Model, ratio: dict[str, float] | float, kept: Iterable[str], scope: str, norm: int, round_to: int | None
) -> torch_pruning.pruner.BasePruner:
    modules = dict(model.layers())
    each = {modules[name]: value for name, value in ratio.items()} if isinstance(ratio, dict) else None
    with quiet():
        return torch_pruning.pruner.BasePruner(
            model.at_rest(),
            model.signature.tensor(),
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=norm),
            global_pruning=scope == "global",
            pruning_ratio=0.0 if each is not None else ratio,
            pruning_ratio_dict=each,
            max_pruning_ratio=1.0 if each is not None else 0.9,
            ignored_layers=[modules[name] for name in kept],
            round_to=round_to,
            root_module_types=list(WEIGHTED),
        )
