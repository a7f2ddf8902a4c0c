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
resnext26ts 64
resnext50_32x4d 64
seresnet18 64
ecaresnet26t 64
skresnet18 64
res2net50_26w_4s 64
resnest14d 64
resnetrs50 64
resnetblur18 64
regnetx_002 64
regnety_002 64
regnetz_005 64
gernet_s 64
vgg11 32
vgg11_bn 32
densenet121 64
mobilenetv1_100 64
mobilenetv2_050 64
mobilenetv3_small_050 64
mobilenetv4_conv_small_050 64
mobilenetv4_hybrid_medium_075 64
efficientnet_b0 64
efficientnet_lite0 64
efficientnetv2_rw_t 64
tf_efficientnetv2_b0 64
mixnet_s 64
ghostnet_050 64
ghostnetv2_100 64
ghostnetv3_050 64
convnext_atto 64
convnextv2_atto 64
vit_tiny_patch16_224 64 sized
deit_tiny_patch16_224 64 sized
deit3_small_patch16_224 64 sized
vit_relpos_small_patch16_224 64 sized
swin_tiny_patch4_window7_224 64 sized
swinv2_tiny_window8_256 64 sized
mixer_s32_224 64 sized
gmixer_12_224 64 sized
gmlp_ti16_224 64 sized
resmlp_12_224 64 sized
maxvit_pico_rw_256 64 sized
coatnet_pico_rw_224 64 sized
coat_tiny 64 sized
coat_lite_tiny 64 sized
pit_ti_224 64 sized
cait_xxs24_224 64 sized
xcit_nano_12_p16_224 64 sized
poolformer_s12 64
caformer_s18 64
edgenext_xx_small 64
mobilevit_xxs 64
mobilevitv2_050 64
mobileone_s0 64
repvgg_a0 64
hrnet_w18_small 64
dla34 64
inception_v3 96
inception_v4 96
inception_resnet_v2 96
legacy_xception 96
xception41 96
nasnetalarge 96
pnasnet5large 96
tresnet_m 64
ese_vovnet19b_slim 64
cspresnet50 64
cspdarknet53 64
cs3darknet_s 64
dpn48b 64
selecsls42 64
hardcorenas_a 64
fbnetc_100 64
fbnetv3_b 64
mnasnet_050 64
spnasnet_100 64
tinynet_e 64
lcnet_035 64
rexnet_100 64
levit_128s 64 sized
efficientformer_l1 224
efficientformerv2_s0 64 sized
efficientvit_b0 64
efficientvit_m0 64 sized
fastvit_t8 64
crossvit_tiny_240 240
twins_pcpvt_small 64
twins_svt_small 64
visformer_tiny 64 sized
convmixer_768_32 64
convit_tiny 64 sized
beit_base_patch16_224 64 sized
eva02_tiny_patch14_224 56 sized
tiny_vit_5m_224 224
repvit_m0_9 64
hgnet_tiny 64
hgnetv2_b0 64
inception_next_atto 64
starnet_s1 64
shvit_s1 64
swiftformer_xs 64
mambaout_femto 64
rdnet_tiny 64
pvt_v2_b0 64
nfnet_l0 64
nf_regnet_b0 64
botnet26t_256 64 sized
lambda_resnet26t 64 sized
gcresnext26ts 64
sequencer2d_s 64 sized
volo_d1_224 64 sized
davit_tiny 64
focalnet_tiny_srf 64
hiera_tiny_224 64 sized
mvitv2_tiny 64 sized
"""
_TORCHVISION = ("resnet18", "mobilenet_v2", "squeezenet1_1", "shufflenet_v2_x0_5", "googlenet", "alexnet")
_QUICK = {"resnet10t", "mobilenetv3_small_050", "vit_tiny_patch16_224", "shufflenet_v2_x0_5"}
# The shallowest that still has every part: the zoo is about kinds of layers, and each further block costs time.
_SMALLER = {
    "beit_base_patch16_224": {"embed_dim": 192, "num_heads": 3, "depth": 6},
    "nasnetalarge": {"num_conv_features": 42, "stem_size": 24, "num_features": 1008},
    "vit_relpos_small_patch16_224": {"depth": 4},
    "deit3_small_patch16_224": {"depth": 4},
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
