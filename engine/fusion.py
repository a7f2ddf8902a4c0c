"""Batch norms folded into the layers before them, as every runtime does before it quantizes."""

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
Norm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def fold_norms(graph: fx.GraphModule) -> None:
    """Fold in place every batch norm whose only input is a layer that nothing else reads."""
    modules = dict(graph.named_modules())
    for node in list(graph.graph.nodes):
        if node.op != "call_module" or not isinstance(modules[node.target], _NORMS):
            continue
        before = node.args[0]
        if before.op != "call_module" or len(before.users) > 1 or _shared(graph, before):
            continue
        folded = _fold(modules[before.target], modules[node.target])
        if folded is not None:
            # A bias that the layer had not before is made without a gradient.
            graph.set_submodule(before.target, folded.requires_grad_(True))
            node.replace_all_uses_with(before)
            graph.graph.erase_node(node)
    graph.graph.lint()
    graph.recompile()
    graph.delete_all_unused_submodules()


def _fold(layer: nn.Module, norm: Norm) -> nn.Module | None:
    if isinstance(layer, _CONVOLUTIONS):
        transposed = isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d)
        return fuse_conv_bn_eval(layer, norm, transposed)
    if isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
        return fuse_linear_bn_eval(layer, norm)
    return None


def _shared(graph: fx.GraphModule, node: fx.Node) -> bool:
    return sum(1 for other in graph.graph.nodes if other.op == "call_module" and other.target == node.target) > 1
