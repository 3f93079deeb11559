"""Facts about torchvision's classification networks, versions 0.26 to 0.29, as built for ImageNet.

Parameters are for 1,000 classes. Multiply-adds are for one image of the size that torchvision
trained the network at. The tests compute every number again from the installed torchvision, and
check that none of its networks is missing here.
"""

from core.models.info import ModelInfo

TORCHVISION: dict[str, ModelInfo] = {
    "alexnet": ModelInfo(
        name="alexnet",
        parameters=61_100_840,
        macs=714_188_480,
        description="AlexNet (2012): five convolutions, then three large linear layers.",
        classes=1000,
        side=224,
        min_side=63,
    ),
    "convnext_base": ModelInfo(
        name="convnext_base",
        parameters=88_591_464,
        macs=15_354_729_472,
        description=(
            "ConvNeXt (2022): a ResNet rebuilt after transformers, with LayerNorm and GELU; base."
        ),
        classes=1000,
        side=224,
        min_side=32,
    ),
    "convnext_large": ModelInfo(
        name="convnext_large",
        parameters=197_767_336,
        macs=34_361_433_600,
        description=(
            "ConvNeXt (2022): a ResNet rebuilt after transformers, with LayerNorm and GELU; large."
        ),
        classes=1000,
        side=224,
        min_side=32,
    ),
    "convnext_small": ModelInfo(
        name="convnext_small",
        parameters=50_223_688,
        macs=8_683_712_256,
        description=(
            "ConvNeXt (2022): a ResNet rebuilt after transformers, with LayerNorm and GELU; small."
        ),
        classes=1000,
        side=224,
        min_side=32,
    ),
    "convnext_tiny": ModelInfo(
        name="convnext_tiny",
        parameters=28_589_128,
        macs=4_455_531_264,
        description=(
            "ConvNeXt (2022): a ResNet rebuilt after transformers, with LayerNorm and GELU; tiny."
        ),
        classes=1000,
        side=224,
        min_side=32,
    ),
    "densenet121": ModelInfo(
        name="densenet121",
        parameters=7_978_856,
        macs=2_834_161_664,
        description="DenseNet (2017): each layer sees all earlier ones; 121 layers.",
        classes=1000,
        side=224,
        min_side=29,
    ),
    "densenet161": ModelInfo(
        name="densenet161",
        parameters=28_681_000,
        macs=7_727_907_072,
        description="DenseNet (2017): each layer sees all earlier ones; 161 layers.",
        classes=1000,
        side=224,
        min_side=29,
    ),
    "densenet169": ModelInfo(
        name="densenet169",
        parameters=14_149_480,
        macs=3_359_843_328,
        description="DenseNet (2017): each layer sees all earlier ones; 169 layers.",
        classes=1000,
        side=224,
        min_side=29,
    ),
    "densenet201": ModelInfo(
        name="densenet201",
        parameters=20_013_928,
        macs=4_291_365_888,
        description="DenseNet (2017): each layer sees all earlier ones; 201 layers.",
        classes=1000,
        side=224,
        min_side=29,
    ),
    "efficientnet_b0": ModelInfo(
        name="efficientnet_b0",
        parameters=5_288_548,
        macs=385_814_752,
        description=(
            "EfficientNet (2019): scaled in depth, width and image size, with SiLU; "
            "size B0 of B0 to B7."
        ),
        classes=1000,
        side=224,
        min_side=1,
    ),
    "efficientnet_b1": ModelInfo(
        name="efficientnet_b1",
        parameters=7_794_184,
        macs=686_802_832,
        description=(
            "EfficientNet (2019): scaled in depth, width and image size, with SiLU; "
            "size B1 of B0 to B7."
        ),
        classes=1000,
        side=240,
        min_side=1,
    ),
    "efficientnet_b2": ModelInfo(
        name="efficientnet_b2",
        parameters=9_109_994,
        macs=1_087_529_456,
        description=(
            "EfficientNet (2019): scaled in depth, width and image size, with SiLU; "
            "size B2 of B0 to B7."
        ),
        classes=1000,
        side=288,
        min_side=1,
    ),
    "efficientnet_b3": ModelInfo(
        name="efficientnet_b3",
        parameters=12_233_232,
        macs=1_827_141_392,
        description=(
            "EfficientNet (2019): scaled in depth, width and image size, with SiLU; "
            "size B3 of B0 to B7."
        ),
        classes=1000,
        side=300,
        min_side=1,
    ),
    "efficientnet_b4": ModelInfo(
        name="efficientnet_b4",
        parameters=19_341_616,
        macs=4_393_771_024,
        description=(
            "EfficientNet (2019): scaled in depth, width and image size, with SiLU; "
            "size B4 of B0 to B7."
        ),
        classes=1000,
        side=380,
        min_side=1,
    ),
    "efficientnet_b5": ModelInfo(
        name="efficientnet_b5",
        parameters=30_389_784,
        macs=10_266_384_752,
        description=(
            "EfficientNet (2019): scaled in depth, width and image size, with SiLU; "
            "size B5 of B0 to B7."
        ),
        classes=1000,
        side=456,
        min_side=1,
    ),
    "efficientnet_b6": ModelInfo(
        name="efficientnet_b6",
        parameters=43_040_704,
        macs=19_067_593_536,
        description=(
            "EfficientNet (2019): scaled in depth, width and image size, with SiLU; "
            "size B6 of B0 to B7."
        ),
        classes=1000,
        side=528,
        min_side=1,
    ),
    "efficientnet_b7": ModelInfo(
        name="efficientnet_b7",
        parameters=66_347_960,
        macs=37_745_884_192,
        description=(
            "EfficientNet (2019): scaled in depth, width and image size, with SiLU; "
            "size B7 of B0 to B7."
        ),
        classes=1000,
        side=600,
        min_side=1,
    ),
    "efficientnet_v2_l": ModelInfo(
        name="efficientnet_v2_l",
        parameters=118_515_272,
        macs=56_079_699_008,
        description="EfficientNetV2 (2021): faster-training EfficientNet with SiLU; large.",
        classes=1000,
        side=480,
        min_side=1,
    ),
    "efficientnet_v2_m": ModelInfo(
        name="efficientnet_v2_m",
        parameters=54_139_356,
        macs=24_582_460_384,
        description="EfficientNetV2 (2021): faster-training EfficientNet with SiLU; medium.",
        classes=1000,
        side=480,
        min_side=1,
    ),
    "efficientnet_v2_s": ModelInfo(
        name="efficientnet_v2_s",
        parameters=21_458_488,
        macs=8_365_617_152,
        description="EfficientNetV2 (2021): faster-training EfficientNet with SiLU; small.",
        classes=1000,
        side=384,
        min_side=1,
    ),
    "googlenet": ModelInfo(
        name="googlenet",
        parameters=6_624_904,
        macs=1_498_376_192,
        description=(
            "GoogLeNet (2014): parallel convolutions of several sizes; without auxiliary outputs."
        ),
        classes=1000,
        side=224,
        min_side=15,
    ),
    "inception_v3": ModelInfo(
        name="inception_v3",
        parameters=23_834_568,
        macs=5_713_216_096,
        description=(
            "Inception v3 (2015): GoogLeNet with factorised convolutions; "
            "without auxiliary outputs."
        ),
        classes=1000,
        side=299,
        min_side=75,
    ),
    "maxvit_t": ModelInfo(
        name="maxvit_t",
        parameters=30_919_624,
        macs=5_381_025_792,
        description=(
            "MaxViT (2022): convolutions with attention in windows and on grids, GELU; tiny."
        ),
        classes=1000,
        side=224,
        min_side=224,
        fixed_side=True,
    ),
    "mnasnet0_5": ModelInfo(
        name="mnasnet0_5",
        parameters=2_218_512,
        macs=104_455_968,
        description=(
            "MnasNet (2018): found by a search for speed on phones; 0.5 times the channels."
        ),
        classes=1000,
        side=224,
        min_side=1,
    ),
    "mnasnet0_75": ModelInfo(
        name="mnasnet0_75",
        parameters=3_170_208,
        macs=215_493_104,
        description=(
            "MnasNet (2018): found by a search for speed on phones; 0.75 times the channels."
        ),
        classes=1000,
        side=224,
        min_side=1,
    ),
    "mnasnet1_0": ModelInfo(
        name="mnasnet1_0",
        parameters=4_383_312,
        macs=314_415_872,
        description=(
            "MnasNet (2018): found by a search for speed on phones; 1.0 times the channels."
        ),
        classes=1000,
        side=224,
        min_side=1,
    ),
    "mnasnet1_3": ModelInfo(
        name="mnasnet1_3",
        parameters=6_282_256,
        macs=526_362_432,
        description=(
            "MnasNet (2018): found by a search for speed on phones; 1.3 times the channels."
        ),
        classes=1000,
        side=224,
        min_side=1,
    ),
    "mobilenet_v2": ModelInfo(
        name="mobilenet_v2",
        parameters=3_504_872,
        macs=300_774_272,
        description="MobileNetV2 (2018): inverted residuals for phones, with ReLU6.",
        classes=1000,
        side=224,
        min_side=1,
    ),
    "mobilenet_v3_large": ModelInfo(
        name="mobilenet_v3_large",
        parameters=5_483_032,
        macs=216_589_760,
        description="MobileNetV3 (2019): MobileNetV2 refined by search, with Hardswish; large.",
        classes=1000,
        side=224,
        min_side=1,
    ),
    "mobilenet_v3_small": ModelInfo(
        name="mobilenet_v3_small",
        parameters=2_542_856,
        macs=56_510_400,
        description="MobileNetV3 (2019): MobileNetV2 refined by search, with Hardswish; small.",
        classes=1000,
        side=224,
        min_side=1,
    ),
    "regnet_x_16gf": ModelInfo(
        name="regnet_x_16gf",
        parameters=54_278_536,
        macs=15_940_755_456,
        description=(
            "RegNetX (2020): a family from a design space of ResNeXts; 16 billion multiply-adds."
        ),
        classes=1000,
        side=224,
        min_side=1,
    ),
    "regnet_x_1_6gf": ModelInfo(
        name="regnet_x_1_6gf",
        parameters=9_190_136,
        macs=1_602_849_792,
        description=(
            "RegNetX (2020): a family from a design space of ResNeXts; 1.6 billion multiply-adds."
        ),
        classes=1000,
        side=224,
        min_side=1,
    ),
    "regnet_x_32gf": ModelInfo(
        name="regnet_x_32gf",
        parameters=107_811_560,
        macs=31_735_929_792,
        description=(
            "RegNetX (2020): a family from a design space of ResNeXts; 32 billion multiply-adds."
        ),
        classes=1000,
        side=224,
        min_side=1,
    ),
    "regnet_x_3_2gf": ModelInfo(
        name="regnet_x_3_2gf",
        parameters=15_296_552,
        macs=3_176_621_952,
        description=(
            "RegNetX (2020): a family from a design space of ResNeXts; 3.2 billion multiply-adds."
        ),
        classes=1000,
        side=224,
        min_side=1,
    ),
    "regnet_x_400mf": ModelInfo(
        name="regnet_x_400mf",
        parameters=5_495_976,
        macs=413_812_608,
        description=(
            "RegNetX (2020): a family from a design space of ResNeXts; 400 million multiply-adds."
        ),
        classes=1000,
        side=224,
        min_side=1,
    ),
    "regnet_x_800mf": ModelInfo(
        name="regnet_x_800mf",
        parameters=7_259_656,
        macs=799_699_712,
        description=(
            "RegNetX (2020): a family from a design space of ResNeXts; 800 million multiply-adds."
        ),
        classes=1000,
        side=224,
        min_side=1,
    ),
    "regnet_x_8gf": ModelInfo(
        name="regnet_x_8gf",
        parameters=39_572_648,
        macs=7_995_132_416,
        description=(
            "RegNetX (2020): a family from a design space of ResNeXts; 8 billion multiply-adds."
        ),
        classes=1000,
        side=224,
        min_side=1,
    ),
    "regnet_y_128gf": ModelInfo(
        name="regnet_y_128gf",
        parameters=644_812_894,
        macs=127_517_815_680,
        description=(
            "RegNetY (2020): RegNetX with squeeze-and-excitation; 128 billion multiply-adds."
        ),
        classes=1000,
        side=224,
        min_side=1,
    ),
    "regnet_y_16gf": ModelInfo(
        name="regnet_y_16gf",
        parameters=83_590_140,
        macs=15_911_510_272,
        description=(
            "RegNetY (2020): RegNetX with squeeze-and-excitation; 16 billion multiply-adds."
        ),
        classes=1000,
        side=224,
        min_side=1,
    ),
    "regnet_y_1_6gf": ModelInfo(
        name="regnet_y_1_6gf",
        parameters=11_202_430,
        macs=1_612_076_160,
        description=(
            "RegNetY (2020): RegNetX with squeeze-and-excitation; 1.6 billion multiply-adds."
        ),
        classes=1000,
        side=224,
        min_side=1,
    ),
    "regnet_y_32gf": ModelInfo(
        name="regnet_y_32gf",
        parameters=145_046_770,
        macs=32_279_552_832,
        description=(
            "RegNetY (2020): RegNetX with squeeze-and-excitation; 32 billion multiply-adds."
        ),
        classes=1000,
        side=224,
        min_side=1,
    ),
    "regnet_y_3_2gf": ModelInfo(
        name="regnet_y_3_2gf",
        parameters=19_436_338,
        macs=3_176_482_752,
        description=(
            "RegNetY (2020): RegNetX with squeeze-and-excitation; 3.2 billion multiply-adds."
        ),
        classes=1000,
        side=224,
        min_side=1,
    ),
    "regnet_y_400mf": ModelInfo(
        name="regnet_y_400mf",
        parameters=4_344_144,
        macs=401_842_848,
        description=(
            "RegNetY (2020): RegNetX with squeeze-and-excitation; 400 million multiply-adds."
        ),
        classes=1000,
        side=224,
        min_side=1,
    ),
    "regnet_y_800mf": ModelInfo(
        name="regnet_y_800mf",
        parameters=6_432_512,
        macs=833_856_256,
        description=(
            "RegNetY (2020): RegNetX with squeeze-and-excitation; 800 million multiply-adds."
        ),
        classes=1000,
        side=224,
        min_side=1,
    ),
    "regnet_y_8gf": ModelInfo(
        name="regnet_y_8gf",
        parameters=39_381_472,
        macs=8_473_070_592,
        description="RegNetY (2020): RegNetX with squeeze-and-excitation; 8 billion multiply-adds.",
        classes=1000,
        side=224,
        min_side=1,
    ),
    "resnet101": ModelInfo(
        name="resnet101",
        parameters=44_549_160,
        macs=7_801_405_440,
        description="ResNet (2015): residual blocks, for large images; 101 layers.",
        classes=1000,
        side=224,
        min_side=1,
    ),
    "resnet152": ModelInfo(
        name="resnet152",
        parameters=60_192_808,
        macs=11_513_626_624,
        description="ResNet (2015): residual blocks, for large images; 152 layers.",
        classes=1000,
        side=224,
        min_side=1,
    ),
    "resnet18": ModelInfo(
        name="resnet18",
        parameters=11_689_512,
        macs=1_814_073_344,
        description="ResNet (2015): residual blocks, for large images; 18 layers.",
        classes=1000,
        side=224,
        min_side=1,
    ),
    "resnet34": ModelInfo(
        name="resnet34",
        parameters=21_797_672,
        macs=3_663_761_408,
        description="ResNet (2015): residual blocks, for large images; 34 layers.",
        classes=1000,
        side=224,
        min_side=1,
    ),
    "resnet50": ModelInfo(
        name="resnet50",
        parameters=25_557_032,
        macs=4_089_184_256,
        description="ResNet (2015): residual blocks, for large images; 50 layers.",
        classes=1000,
        side=224,
        min_side=1,
    ),
    "resnext101_32x8d": ModelInfo(
        name="resnext101_32x8d",
        parameters=88_791_336,
        macs=16_414_015_488,
        description="ResNeXt (2016): a ResNet with grouped convolutions; 101 layers, 32 groups.",
        classes=1000,
        side=224,
        min_side=1,
    ),
    "resnext101_64x4d": ModelInfo(
        name="resnext101_64x4d",
        parameters=83_455_272,
        macs=15_460_270_080,
        description="ResNeXt (2016): a ResNet with grouped convolutions; 101 layers, 64 groups.",
        classes=1000,
        side=224,
        min_side=1,
    ),
    "resnext50_32x4d": ModelInfo(
        name="resnext50_32x4d",
        parameters=25_028_904,
        macs=4_230_479_872,
        description="ResNeXt (2016): a ResNet with grouped convolutions; 50 layers, 32 groups.",
        classes=1000,
        side=224,
        min_side=1,
    ),
    "shufflenet_v2_x0_5": ModelInfo(
        name="shufflenet_v2_x0_5",
        parameters=1_366_792,
        macs=40_476_448,
        description="ShuffleNetV2 (2018): channel shuffles for phones; 0.5 times the channels.",
        classes=1000,
        side=224,
        min_side=1,
    ),
    "shufflenet_v2_x1_0": ModelInfo(
        name="shufflenet_v2_x1_0",
        parameters=2_278_604,
        macs=144_907_992,
        description="ShuffleNetV2 (2018): channel shuffles for phones; 1.0 times the channels.",
        classes=1000,
        side=224,
        min_side=1,
    ),
    "shufflenet_v2_x1_5": ModelInfo(
        name="shufflenet_v2_x1_5",
        parameters=3_503_624,
        macs=295_759_392,
        description="ShuffleNetV2 (2018): channel shuffles for phones; 1.5 times the channels.",
        classes=1000,
        side=224,
        min_side=1,
    ),
    "shufflenet_v2_x2_0": ModelInfo(
        name="shufflenet_v2_x2_0",
        parameters=7_393_996,
        macs=583_253_464,
        description="ShuffleNetV2 (2018): channel shuffles for phones; 2.0 times the channels.",
        classes=1000,
        side=224,
        min_side=1,
    ),
    "squeezenet1_0": ModelInfo(
        name="squeezenet1_0",
        parameters=1_248_424,
        macs=818_924_576,
        description="SqueezeNet (2016): AlexNet's accuracy with 50 times fewer parameters.",
        classes=1000,
        side=224,
        min_side=21,
    ),
    "squeezenet1_1": ModelInfo(
        name="squeezenet1_1",
        parameters=1_235_496,
        macs=349_151_936,
        description="SqueezeNet 1.1 (2016): SqueezeNet with 2.4 times fewer multiply-adds.",
        classes=1000,
        side=224,
        min_side=17,
    ),
    "swin_b": ModelInfo(
        name="swin_b",
        parameters=87_768_224,
        macs=15_126_077_440,
        description="Swin (2021): a transformer with attention in shifted windows and GELU; base.",
        classes=1000,
        side=224,
        min_side=4,
    ),
    "swin_s": ModelInfo(
        name="swin_s",
        parameters=49_606_258,
        macs=8_512_223_232,
        description="Swin (2021): a transformer with attention in shifted windows and GELU; small.",
        classes=1000,
        side=224,
        min_side=4,
    ),
    "swin_t": ModelInfo(
        name="swin_t",
        parameters=28_288_354,
        macs=4_350_425_088,
        description="Swin (2021): a transformer with attention in shifted windows and GELU; tiny.",
        classes=1000,
        side=224,
        min_side=4,
    ),
    "swin_v2_b": ModelInfo(
        name="swin_v2_b",
        parameters=87_930_848,
        macs=19_805_040_640,
        description=(
            "Swin V2 (2021): attention in shifted windows, with GELU, for larger images; base."
        ),
        classes=1000,
        side=256,
        min_side=4,
    ),
    "swin_v2_s": ModelInfo(
        name="swin_v2_s",
        parameters=49_737_442,
        macs=11_155_786_752,
        description=(
            "Swin V2 (2021): attention in shifted windows, with GELU, for larger images; small."
        ),
        classes=1000,
        side=256,
        min_side=4,
    ),
    "swin_v2_t": ModelInfo(
        name="swin_v2_t",
        parameters=28_351_570,
        macs=5_700_615_168,
        description=(
            "Swin V2 (2021): attention in shifted windows, with GELU, for larger images; tiny."
        ),
        classes=1000,
        side=256,
        min_side=4,
    ),
    "vgg11": ModelInfo(
        name="vgg11",
        parameters=132_863_336,
        macs=7_609_090_048,
        description="VGG (2014): 3 x 3 convolutions, then large linear layers; 11 layers.",
        classes=1000,
        side=224,
        min_side=32,
    ),
    "vgg11_bn": ModelInfo(
        name="vgg11_bn",
        parameters=132_868_840,
        macs=7_609_090_048,
        description=(
            "VGG (2014): 3 x 3 convolutions, then large linear layers; 11 layers, with BatchNorm."
        ),
        classes=1000,
        side=224,
        min_side=32,
    ),
    "vgg13": ModelInfo(
        name="vgg13",
        parameters=133_047_848,
        macs=11_308_466_176,
        description="VGG (2014): 3 x 3 convolutions, then large linear layers; 13 layers.",
        classes=1000,
        side=224,
        min_side=32,
    ),
    "vgg13_bn": ModelInfo(
        name="vgg13_bn",
        parameters=133_053_736,
        macs=11_308_466_176,
        description=(
            "VGG (2014): 3 x 3 convolutions, then large linear layers; 13 layers, with BatchNorm."
        ),
        classes=1000,
        side=224,
        min_side=32,
    ),
    "vgg16": ModelInfo(
        name="vgg16",
        parameters=138_357_544,
        macs=15_470_264_320,
        description="VGG (2014): 3 x 3 convolutions, then large linear layers; 16 layers.",
        classes=1000,
        side=224,
        min_side=32,
    ),
    "vgg16_bn": ModelInfo(
        name="vgg16_bn",
        parameters=138_365_992,
        macs=15_470_264_320,
        description=(
            "VGG (2014): 3 x 3 convolutions, then large linear layers; 16 layers, with BatchNorm."
        ),
        classes=1000,
        side=224,
        min_side=32,
    ),
    "vgg19": ModelInfo(
        name="vgg19",
        parameters=143_667_240,
        macs=19_632_062_464,
        description="VGG (2014): 3 x 3 convolutions, then large linear layers; 19 layers.",
        classes=1000,
        side=224,
        min_side=32,
    ),
    "vgg19_bn": ModelInfo(
        name="vgg19_bn",
        parameters=143_678_248,
        macs=19_632_062_464,
        description=(
            "VGG (2014): 3 x 3 convolutions, then large linear layers; 19 layers, with BatchNorm."
        ),
        classes=1000,
        side=224,
        min_side=32,
    ),
    "vit_b_16": ModelInfo(
        name="vit_b_16",
        parameters=86_567_656,
        macs=16_848_500_736,
        description=(
            "Vision transformer (2020): attention over 16 x 16 pixel patches, with GELU; base."
        ),
        classes=1000,
        side=224,
        min_side=224,
        fixed_side=True,
    ),
    "vit_b_32": ModelInfo(
        name="vit_b_32",
        parameters=88_224_232,
        macs=4_363_106_304,
        description=(
            "Vision transformer (2020): attention over 32 x 32 pixel patches, with GELU; base."
        ),
        classes=1000,
        side=224,
        min_side=224,
        fixed_side=True,
    ),
    "vit_h_14": ModelInfo(
        name="vit_h_14",
        parameters=632_045_800,
        macs=161_884_375_040,
        description=(
            "Vision transformer (2020): attention over 14 x 14 pixel patches, with GELU; huge."
        ),
        classes=1000,
        side=224,
        min_side=224,
        fixed_side=True,
    ),
    "vit_l_16": ModelInfo(
        name="vit_l_16",
        parameters=304_326_632,
        macs=59_647_172_608,
        description=(
            "Vision transformer (2020): attention over 16 x 16 pixel patches, with GELU; large."
        ),
        classes=1000,
        side=224,
        min_side=224,
        fixed_side=True,
    ),
    "vit_l_32": ModelInfo(
        name="vit_l_32",
        parameters=306_535_400,
        macs=15_254_659_072,
        description=(
            "Vision transformer (2020): attention over 32 x 32 pixel patches, with GELU; large."
        ),
        classes=1000,
        side=224,
        min_side=224,
        fixed_side=True,
    ),
    "wide_resnet101_2": ModelInfo(
        name="wide_resnet101_2",
        parameters=126_886_696,
        macs=22_753_050_624,
        description="Wide ResNet (2016): a ResNet with bottlenecks twice as wide; 101 layers.",
        classes=1000,
        side=224,
        min_side=1,
    ),
    "wide_resnet50_2": ModelInfo(
        name="wide_resnet50_2",
        parameters=68_883_240,
        macs=11_398_021_120,
        description="Wide ResNet (2016): a ResNet with bottlenecks twice as wide; 50 layers.",
        classes=1000,
        side=224,
        min_side=1,
    ),
}
