"""Which operators a program may call: PyTorch's own tensor operators, and arithmetic on sizes.

Torch resolves a target by walking attributes from ``torch``, ``operator`` or ``math``, so a target is compared with
a list and never walked. Refused among ``aten``: what reads files, prints, changes storages under a tensor's feet,
takes a storage or a stream, skips its own bounds checks, or serves one kind of device or layout only.
"""

import functools
import re
from typing import Any

import torch

from engine.pt2.checks import Wrong, show
from pith.errors import PithError

_ATEN = re.compile(r"torch\.ops\.aten\.(?P<name>\w{1,100})\.(?P<overload>\w{1,100})", re.ASCII)
_OTHER_LIBRARY = re.compile(r"torch\.ops\.\w+(?:\.\w+)*", re.ASCII)

SIZE_OPERATORS = frozenset(
    f"{prefix}{name}"
    for prefix, names in (
        ("_operator.", "eq ne le ge lt gt neg pos mul add sub floordiv mod pow truediv and_ or_"),
        ("math.", "trunc"),
        ("torch.", "sym_not sym_int sym_float sym_ite sym_max sym_min sym_sqrt _sym_sqrt"),
    )
    for name in names.split()
)
_PRIVATE_NAMES = (
    "_assert_async _assert_scalar _assert_tensor_metadata _functional_assert_async _functional_assert_scalar "
    "_adaptive_avg_pool2d _adaptive_avg_pool3d _batch_norm_impl_index _batch_norm_no_update _cdist_forward _conj "
    "_conj_physical _convolution _convolution_mode _embedding_bag _embedding_bag_forward_only _euclidean_dist "
    "_fft_c2c _fft_c2r _fft_r2c _fused_rms_norm _grouped_mm _int_mm _linalg_det _linalg_eigh _linalg_slogdet "
    "_linalg_solve_ex _linalg_svd _local_scalar_dense _log_softmax _masked_softmax "
    "_native_batch_norm_legit _native_batch_norm_legit_functional _native_batch_norm_legit_no_training "
    "_native_multi_head_attention _pad_circular _pad_enum _pdist_forward _prelu_kernel _reshape_copy "
    "_safe_softmax _scaled_dot_product_attention_math _scaled_dot_product_efficient_attention "
    "_scaled_dot_product_flash_attention _scaled_dot_product_flash_attention_for_cpu _shape_as_tensor _softmax _stack "
    "_to_copy _transformer_encoder_layer_fwd _trilinear _unique2 "
    "_unsafe_index _unsafe_index_put _unsafe_masked_index _unsafe_view _upsample_bicubic2d_aa _upsample_bilinear2d_aa "
    "_upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d _weight_norm _weight_norm_interface "
    "__and__ __or__ __xor__ __lshift__ __rshift__ __iand__ __ior__ __ixor__ __ilshift__ __irshift__"
)
_PRIVATE = frozenset(_PRIVATE_NAMES.split())
_REFUSED = re.compile(
    r"from_file|set|set_|set_data|shallow_copy_data_|data|resize\w*|record_stream|retain_grad|requires_grad_|get_gradients|"
    r"pin_memory|is_pinned|output_nr|is_vulkan_available|convolution_overrideable|coalesce|smm|hspmm|sspaddmm|"
    r"(?:flatten|unflatten)_dense_tensors|to_padded_tensor|nested_to_padded_tensor|lstm_mps\w*|\w*_backward\w*|"
    r"(?:sparse|to_sparse|copy_sparse|quantized|fbgemm|cudnn|miopen|mkldnn|to_mkldnn|mps)(?:_\w+)?"
)
_REFUSED_TYPES = ("Storage", "Stream", "Dimname", "QScheme", "__torch__")


def target(value: Any) -> str:
    """The name of an operator that exists and is allowed.

    Raises:
        PithError: ``model_unsupported`` or ``model_unsafe``.
    """
    if not isinstance(value, str):
        raise Wrong(f"{show(value)} is no operator")
    if value in SIZE_OPERATORS:
        return value
    found = _ATEN.fullmatch(value)
    if found is None:
        raise _foreign(value)
    if not _is_allowed(found["name"], found["overload"]):
        raise PithError(
            "model_unsupported",
            found=f"the operator {show(value)}",
            way_out="export the model again with operators that compute on dense tensors only",
        )
    return value


def _foreign(value: str) -> PithError:
    if _OTHER_LIBRARY.fullmatch(value):
        return PithError(
            "model_unsupported",
            found=f"the operator {show(value)}",
            way_out="write the model with PyTorch's own operators, without control flow, no_grad or autocast inside it",
        )
    return PithError(
        "model_unsafe",
        found=f"a call of {show(value)}",
        way_out="export it again with torch.export, without editing the file",
    )


@functools.lru_cache(maxsize=4096)
def _is_allowed(name: str, overload: str) -> bool:
    if _REFUSED.fullmatch(name) or (name.startswith("_") and name not in _PRIVATE) or f"_{overload}".endswith("_out"):
        return False
    if (f"aten::{name}", "" if overload == "default" else overload) not in _known():
        return False
    operator = getattr(getattr(torch.ops.aten, name, None), overload, None)
    return isinstance(operator, torch._ops.OpOverload) and not any(
        kind in str(argument.type) for kind in _REFUSED_TYPES for argument in operator._schema.arguments
    )


@functools.cache
def _known() -> frozenset[tuple[str, str]]:
    names = (name.partition(".") for name in torch._C._dispatch_get_all_op_names())
    return frozenset((name, overload) for name, _, overload in names)
