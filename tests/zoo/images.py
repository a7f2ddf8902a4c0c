"""Image classifiers of timm and torchvision, the smallest of each family, at small pictures."""

from collections.abc import Callable
from functools import partial

import timm
import torchvision
from torch import nn

from tests.zoo.entry import CLASSES, Entry, pictures

# name, picture size; "sized" where the model must be told the size.
_TIMM = """
resnet10t 64
resnet18 64
resnetv2_18 64
resnext50_32x4d 64
seresnet18 64
skresnet18 64
res2net50_26w_4s 64
resnest14d 64
regnetx_002 64
vgg11_bn 32
densenet121 64
mobilenetv2_050 64
mobilenetv3_small_050 64
mobilenetv4_conv_small_050 64
efficientnet_b0 64
ghostnet_050 64
convnext_atto 64
convnextv2_atto 64
vit_tiny_patch16_224 64 sized
deit_tiny_patch16_224 64 sized
vit_relpos_small_patch16_224 64 sized
swin_tiny_patch4_window7_224 64 sized
swinv2_tiny_window8_256 64 sized
mixer_s32_224 64 sized
gmlp_ti16_224 64 sized
resmlp_12_224 64 sized
test_maxvit 64 sized
coat_lite_tiny 64 sized
pit_ti_224 64 sized
cait_xxs24_224 64 sized
xcit_nano_12_p16_224 64 sized
edgenext_xx_small 64
mobilevit_xxs 64
repvgg_a0 64
hrnet_w18_small 64
dla34 64
inception_v3 96
tresnet_m 64
ese_vovnet19b_slim 64
cs3darknet_s 64
dpn48b 64
selecsls42 64
mnasnet_050 64
lcnet_035 64
levit_128s 64 sized
efficientformer_l1 224
efficientvit_b0 64
fastvit_t8 64
crossvit_tiny_240 240
twins_svt_small 64
visformer_tiny 64 sized
convit_tiny 64 sized
beit_base_patch16_224 64 sized
eva02_tiny_patch14_224 56 sized
tiny_vit_5m_224 224
hgnetv2_b0 64
inception_next_atto 64
starnet_s1 64
pvt_v2_b0 64
test_nfnet 64
sequencer2d_s 64 sized
davit_tiny 64
hiera_tiny_224 64 sized
"""
_TORCHVISION = ("resnet18", "mobilenet_v2", "squeezenet1_1", "shufflenet_v2_x0_5", "googlenet", "alexnet")
_QUICK = {"resnet10t", "convnext_atto", "vit_tiny_patch16_224"}
# The shallowest that still has every part: the zoo is about kinds of layers, and each further block costs time.
_SMALLER: dict[str, dict[str, object]] = {
    "resnext50_32x4d": {"layers": (1, 1, 1, 1)},
    "res2net50_26w_4s": {"layers": (1, 1, 1, 1)},
    "tresnet_m": {"layers": (1, 1, 1, 1)},
    "densenet121": {"block_config": (2, 2, 2, 2)},
    "vgg11_bn": {"mlp_ratio": 0.05},
    "swin_tiny_patch4_window7_224": {"depths": (2, 1, 1, 1)},
    "swinv2_tiny_window8_256": {"depths": (2, 1, 1, 1)},
    "twins_svt_small": {"depths": (2, 2, 2, 2)},
    "pvt_v2_b0": {"depths": (1, 1, 1, 1)},
    "convnext_atto": {"depths": (1, 1, 1, 1)},
    "convnextv2_atto": {"depths": (1, 1, 1, 1)},
    "vit_tiny_patch16_224": {"depth": 3},
    "deit_tiny_patch16_224": {"depth": 3},
    "eva02_tiny_patch14_224": {"depth": 2},
    "convit_tiny": {"depth": 4, "local_up_to_layer": 2},
    "beit_base_patch16_224": {"embed_dim": 192, "num_heads": 3, "depth": 2},
    "cait_xxs24_224": {"depth": 2},
    "xcit_nano_12_p16_224": {"depth": 2},
    "coat_lite_tiny": {"serial_depths": (1, 1, 1, 1)},
    "levit_128s": {"depth": (1, 1, 1)},
    "edgenext_xx_small": {"depths": (2, 2, 2, 2)},
    "efficientformer_l1": {"depths": (1, 1, 1, 2)},
    "inception_next_atto": {"depths": (1, 1, 1, 1)},
    "starnet_s1": {"depths": (1, 1, 1, 1)},
    "sequencer2d_s": {"layers": (1, 1, 1, 1)},
    "davit_tiny": {"depths": (1, 1, 1, 1)},
    "hiera_tiny_224": {"stages": (1, 1, 1, 1)},
    "dpn48b": {"k_sec": (1, 1, 1, 1)},
    "visformer_tiny": {"depth": (2, 2, 2)},
    "tiny_vit_5m_224": {"depths": (1, 1, 2, 1)},
    "fastvit_t8": {"layers": (1, 1, 1, 1)},
    "crossvit_tiny_240": {"depth": ((1, 1, 0), (1, 1, 0), (1, 1, 0))},
}


def _timm(name: str, size: int, sized: bool) -> Callable[[], nn.Module]:
    options = {"img_size": size} if sized else {}
    return partial(timm.create_model, name, num_classes=CLASSES, **options, **_SMALLER.get(name, {}))


def _torchvision(name: str) -> nn.Module:
    options = {"aux_logits": False, "init_weights": True} if name == "googlenet" else {}
    net: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=CLASSES, **options)
    return net


def entries() -> list[Entry]:
    found = []
    for line in _TIMM.strip().splitlines():
        name, size, *sized = line.split()
        build = _timm(name, int(size), bool(sized))
        found.append(Entry(f"timm/{name}", "timm", build, pictures(int(size)), name in _QUICK))
    for name in _TORCHVISION:
        build = partial(_torchvision, name)
        found.append(Entry(f"torchvision/{name}", "torchvision", build, pictures(64), name in _QUICK))
    return found
