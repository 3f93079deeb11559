"""torchvision's classification networks (0.26 to 0.29), each by its own name and as torchvision built it for ImageNet.

Parameters are for 1,000 classes; multiply-adds for one image of the side that torchvision trained the network at.
The tests compute every figure anew from the installed torchvision and look for networks that are missing here.
"""

from core.models.info import ModelInfo

TORCHVISION: dict[str, ModelInfo] = {
    "alexnet": ModelInfo("alexnet", 61_100_840, 714_188_480, (
        "AlexNet (2012): five convolutions, then three large linear layers."), 1000, 224, 63),
    "convnext_base": ModelInfo("convnext_base", 88_591_464, 15_354_729_472, (
        "ConvNeXt (2022): a ResNet rebuilt after transformers, with LayerNorm and GELU; base."), 1000, 224, 32),
    "convnext_large": ModelInfo("convnext_large", 197_767_336, 34_361_433_600, (
        "ConvNeXt (2022): a ResNet rebuilt after transformers, with LayerNorm and GELU; large."), 1000, 224, 32),
    "convnext_small": ModelInfo("convnext_small", 50_223_688, 8_683_712_256, (
        "ConvNeXt (2022): a ResNet rebuilt after transformers, with LayerNorm and GELU; small."), 1000, 224, 32),
    "convnext_tiny": ModelInfo("convnext_tiny", 28_589_128, 4_455_531_264, (
        "ConvNeXt (2022): a ResNet rebuilt after transformers, with LayerNorm and GELU; tiny."), 1000, 224, 32),
    "densenet121": ModelInfo("densenet121", 7_978_856, 2_834_161_664, (
        "DenseNet (2017): each layer sees all earlier ones; 121 layers."), 1000, 224, 29),
    "densenet161": ModelInfo("densenet161", 28_681_000, 7_727_907_072, (
        "DenseNet (2017): each layer sees all earlier ones; 161 layers."), 1000, 224, 29),
    "densenet169": ModelInfo("densenet169", 14_149_480, 3_359_843_328, (
        "DenseNet (2017): each layer sees all earlier ones; 169 layers."), 1000, 224, 29),
    "densenet201": ModelInfo("densenet201", 20_013_928, 4_291_365_888, (
        "DenseNet (2017): each layer sees all earlier ones; 201 layers."), 1000, 224, 29),
    "efficientnet_b0": ModelInfo("efficientnet_b0", 5_288_548, 385_814_752, (
        "EfficientNet (2019): scaled in depth, width and image size, with SiLU; size B0 of B0 to B7."), 1000, 224, 1),
    "efficientnet_b1": ModelInfo("efficientnet_b1", 7_794_184, 686_802_832, (
        "EfficientNet (2019): scaled in depth, width and image size, with SiLU; size B1 of B0 to B7."), 1000, 240, 1),
    "efficientnet_b2": ModelInfo("efficientnet_b2", 9_109_994, 1_087_529_456, (
        "EfficientNet (2019): scaled in depth, width and image size, with SiLU; size B2 of B0 to B7."), 1000, 288, 1),
    "efficientnet_b3": ModelInfo("efficientnet_b3", 12_233_232, 1_827_141_392, (
        "EfficientNet (2019): scaled in depth, width and image size, with SiLU; size B3 of B0 to B7."), 1000, 300, 1),
    "efficientnet_b4": ModelInfo("efficientnet_b4", 19_341_616, 4_393_771_024, (
        "EfficientNet (2019): scaled in depth, width and image size, with SiLU; size B4 of B0 to B7."), 1000, 380, 1),
    "efficientnet_b5": ModelInfo("efficientnet_b5", 30_389_784, 10_266_384_752, (
        "EfficientNet (2019): scaled in depth, width and image size, with SiLU; size B5 of B0 to B7."), 1000, 456, 1),
    "efficientnet_b6": ModelInfo("efficientnet_b6", 43_040_704, 19_067_593_536, (
        "EfficientNet (2019): scaled in depth, width and image size, with SiLU; size B6 of B0 to B7."), 1000, 528, 1),
    "efficientnet_b7": ModelInfo("efficientnet_b7", 66_347_960, 37_745_884_192, (
        "EfficientNet (2019): scaled in depth, width and image size, with SiLU; size B7 of B0 to B7."), 1000, 600, 1),
    "efficientnet_v2_l": ModelInfo("efficientnet_v2_l", 118_515_272, 56_079_699_008, (
        "EfficientNetV2 (2021): faster-training EfficientNet with SiLU; large."), 1000, 480, 1),
    "efficientnet_v2_m": ModelInfo("efficientnet_v2_m", 54_139_356, 24_582_460_384, (
        "EfficientNetV2 (2021): faster-training EfficientNet with SiLU; medium."), 1000, 480, 1),
    "efficientnet_v2_s": ModelInfo("efficientnet_v2_s", 21_458_488, 8_365_617_152, (
        "EfficientNetV2 (2021): faster-training EfficientNet with SiLU; small."), 1000, 384, 1),
    "googlenet": ModelInfo("googlenet", 6_624_904, 1_498_376_192, (
        "GoogLeNet (2014): parallel convolutions of several sizes; without auxiliary outputs."), 1000, 224, 15),
    "inception_v3": ModelInfo("inception_v3", 23_834_568, 5_713_216_096, (
        "Inception v3 (2015): GoogLeNet with factorised convolutions; without auxiliary outputs."), 1000, 299, 75),
    "maxvit_t": ModelInfo("maxvit_t", 30_919_624, 5_381_025_792, (
        "MaxViT (2022): convolutions with attention in windows and on grids, GELU; tiny."), 1000, 224, 224, True),
    "mnasnet0_5": ModelInfo("mnasnet0_5", 2_218_512, 104_455_968, (
        "MnasNet (2018): found by a search for speed on phones; 0.5 times the channels."), 1000, 224, 1),
    "mnasnet0_75": ModelInfo("mnasnet0_75", 3_170_208, 215_493_104, (
        "MnasNet (2018): found by a search for speed on phones; 0.75 times the channels."), 1000, 224, 1),
    "mnasnet1_0": ModelInfo("mnasnet1_0", 4_383_312, 314_415_872, (
        "MnasNet (2018): found by a search for speed on phones; 1.0 times the channels."), 1000, 224, 1),
    "mnasnet1_3": ModelInfo("mnasnet1_3", 6_282_256, 526_362_432, (
        "MnasNet (2018): found by a search for speed on phones; 1.3 times the channels."), 1000, 224, 1),
    "mobilenet_v2": ModelInfo("mobilenet_v2", 3_504_872, 300_774_272, (
        "MobileNetV2 (2018): inverted residuals for phones, with ReLU6."), 1000, 224, 1),
    "mobilenet_v3_large": ModelInfo("mobilenet_v3_large", 5_483_032, 216_589_760, (
        "MobileNetV3 (2019): MobileNetV2 refined by search, with Hardswish; large."), 1000, 224, 1),
    "mobilenet_v3_small": ModelInfo("mobilenet_v3_small", 2_542_856, 56_510_400, (
        "MobileNetV3 (2019): MobileNetV2 refined by search, with Hardswish; small."), 1000, 224, 1),
    "regnet_x_16gf": ModelInfo("regnet_x_16gf", 54_278_536, 15_940_755_456, (
        "RegNetX (2020): a family from a design space of ResNeXts; 16 billion multiply-adds."), 1000, 224, 1),
    "regnet_x_1_6gf": ModelInfo("regnet_x_1_6gf", 9_190_136, 1_602_849_792, (
        "RegNetX (2020): a family from a design space of ResNeXts; 1.6 billion multiply-adds."), 1000, 224, 1),
    "regnet_x_32gf": ModelInfo("regnet_x_32gf", 107_811_560, 31_735_929_792, (
        "RegNetX (2020): a family from a design space of ResNeXts; 32 billion multiply-adds."), 1000, 224, 1),
    "regnet_x_3_2gf": ModelInfo("regnet_x_3_2gf", 15_296_552, 3_176_621_952, (
        "RegNetX (2020): a family from a design space of ResNeXts; 3.2 billion multiply-adds."), 1000, 224, 1),
    "regnet_x_400mf": ModelInfo("regnet_x_400mf", 5_495_976, 413_812_608, (
        "RegNetX (2020): a family from a design space of ResNeXts; 400 million multiply-adds."), 1000, 224, 1),
    "regnet_x_800mf": ModelInfo("regnet_x_800mf", 7_259_656, 799_699_712, (
        "RegNetX (2020): a family from a design space of ResNeXts; 800 million multiply-adds."), 1000, 224, 1),
    "regnet_x_8gf": ModelInfo("regnet_x_8gf", 39_572_648, 7_995_132_416, (
        "RegNetX (2020): a family from a design space of ResNeXts; 8 billion multiply-adds."), 1000, 224, 1),
    "regnet_y_128gf": ModelInfo("regnet_y_128gf", 644_812_894, 127_517_815_680, (
        "RegNetY (2020): RegNetX with squeeze-and-excitation; 128 billion multiply-adds."), 1000, 224, 1),
    "regnet_y_16gf": ModelInfo("regnet_y_16gf", 83_590_140, 15_911_510_272, (
        "RegNetY (2020): RegNetX with squeeze-and-excitation; 16 billion multiply-adds."), 1000, 224, 1),
    "regnet_y_1_6gf": ModelInfo("regnet_y_1_6gf", 11_202_430, 1_612_076_160, (
        "RegNetY (2020): RegNetX with squeeze-and-excitation; 1.6 billion multiply-adds."), 1000, 224, 1),
    "regnet_y_32gf": ModelInfo("regnet_y_32gf", 145_046_770, 32_279_552_832, (
        "RegNetY (2020): RegNetX with squeeze-and-excitation; 32 billion multiply-adds."), 1000, 224, 1),
    "regnet_y_3_2gf": ModelInfo("regnet_y_3_2gf", 19_436_338, 3_176_482_752, (
        "RegNetY (2020): RegNetX with squeeze-and-excitation; 3.2 billion multiply-adds."), 1000, 224, 1),
    "regnet_y_400mf": ModelInfo("regnet_y_400mf", 4_344_144, 401_842_848, (
        "RegNetY (2020): RegNetX with squeeze-and-excitation; 400 million multiply-adds."), 1000, 224, 1),
    "regnet_y_800mf": ModelInfo("regnet_y_800mf", 6_432_512, 833_856_256, (
        "RegNetY (2020): RegNetX with squeeze-and-excitation; 800 million multiply-adds."), 1000, 224, 1),
    "regnet_y_8gf": ModelInfo("regnet_y_8gf", 39_381_472, 8_473_070_592, (
        "RegNetY (2020): RegNetX with squeeze-and-excitation; 8 billion multiply-adds."), 1000, 224, 1),
    "resnet101": ModelInfo("resnet101", 44_549_160, 7_801_405_440, (
        "ResNet (2015): residual blocks, for large images; 101 layers."), 1000, 224, 1),
    "resnet152": ModelInfo("resnet152", 60_192_808, 11_513_626_624, (
        "ResNet (2015): residual blocks, for large images; 152 layers."), 1000, 224, 1),
    "resnet18": ModelInfo("resnet18", 11_689_512, 1_814_073_344, (
        "ResNet (2015): residual blocks, for large images; 18 layers."), 1000, 224, 1),
    "resnet34": ModelInfo("resnet34", 21_797_672, 3_663_761_408, (
        "ResNet (2015): residual blocks, for large images; 34 layers."), 1000, 224, 1),
    "resnet50": ModelInfo("resnet50", 25_557_032, 4_089_184_256, (
        "ResNet (2015): residual blocks, for large images; 50 layers."), 1000, 224, 1),
    "resnext101_32x8d": ModelInfo("resnext101_32x8d", 88_791_336, 16_414_015_488, (
        "ResNeXt (2016): a ResNet with grouped convolutions; 101 layers, 32 groups."), 1000, 224, 1),
    "resnext101_64x4d": ModelInfo("resnext101_64x4d", 83_455_272, 15_460_270_080, (
        "ResNeXt (2016): a ResNet with grouped convolutions; 101 layers, 64 groups."), 1000, 224, 1),
    "resnext50_32x4d": ModelInfo("resnext50_32x4d", 25_028_904, 4_230_479_872, (
        "ResNeXt (2016): a ResNet with grouped convolutions; 50 layers, 32 groups."), 1000, 224, 1),
    "shufflenet_v2_x0_5": ModelInfo("shufflenet_v2_x0_5", 1_366_792, 40_476_448, (
        "ShuffleNetV2 (2018): channel shuffles for phones; 0.5 times the channels."), 1000, 224, 1),
    "shufflenet_v2_x1_0": ModelInfo("shufflenet_v2_x1_0", 2_278_604, 144_907_992, (
        "ShuffleNetV2 (2018): channel shuffles for phones; 1.0 times the channels."), 1000, 224, 1),
    "shufflenet_v2_x1_5": ModelInfo("shufflenet_v2_x1_5", 3_503_624, 295_759_392, (
        "ShuffleNetV2 (2018): channel shuffles for phones; 1.5 times the channels."), 1000, 224, 1),
    "shufflenet_v2_x2_0": ModelInfo("shufflenet_v2_x2_0", 7_393_996, 583_253_464, (
        "ShuffleNetV2 (2018): channel shuffles for phones; 2.0 times the channels."), 1000, 224, 1),
    "squeezenet1_0": ModelInfo("squeezenet1_0", 1_248_424, 818_924_576, (
        "SqueezeNet (2016): AlexNet's accuracy with 50 times fewer parameters."), 1000, 224, 21),
    "squeezenet1_1": ModelInfo("squeezenet1_1", 1_235_496, 349_151_936, (
        "SqueezeNet 1.1 (2016): SqueezeNet with 2.4 times fewer multiply-adds."), 1000, 224, 17),
    "swin_b": ModelInfo("swin_b", 87_768_224, 15_126_077_440, (
        "Swin (2021): a transformer with attention in shifted windows and GELU; base."), 1000, 224, 4),
    "swin_s": ModelInfo("swin_s", 49_606_258, 8_512_223_232, (
        "Swin (2021): a transformer with attention in shifted windows and GELU; small."), 1000, 224, 4),
    "swin_t": ModelInfo("swin_t", 28_288_354, 4_350_425_088, (
        "Swin (2021): a transformer with attention in shifted windows and GELU; tiny."), 1000, 224, 4),
    "swin_v2_b": ModelInfo("swin_v2_b", 87_930_848, 19_805_040_640, (
        "Swin V2 (2021): attention in shifted windows, with GELU, for larger images; base."), 1000, 256, 4),
    "swin_v2_s": ModelInfo("swin_v2_s", 49_737_442, 11_155_786_752, (
        "Swin V2 (2021): attention in shifted windows, with GELU, for larger images; small."), 1000, 256, 4),
    "swin_v2_t": ModelInfo("swin_v2_t", 28_351_570, 5_700_615_168, (
        "Swin V2 (2021): attention in shifted windows, with GELU, for larger images; tiny."), 1000, 256, 4),
    "vgg11": ModelInfo("vgg11", 132_863_336, 7_609_090_048, (
        "VGG (2014): 3 x 3 convolutions, then large linear layers; 11 layers."), 1000, 224, 32),
    "vgg11_bn": ModelInfo("vgg11_bn", 132_868_840, 7_609_090_048, (
        "VGG (2014): 3 x 3 convolutions, then large linear layers; 11 layers, with BatchNorm."), 1000, 224, 32),
    "vgg13": ModelInfo("vgg13", 133_047_848, 11_308_466_176, (
        "VGG (2014): 3 x 3 convolutions, then large linear layers; 13 layers."), 1000, 224, 32),
    "vgg13_bn": ModelInfo("vgg13_bn", 133_053_736, 11_308_466_176, (
        "VGG (2014): 3 x 3 convolutions, then large linear layers; 13 layers, with BatchNorm."), 1000, 224, 32),
    "vgg16": ModelInfo("vgg16", 138_357_544, 15_470_264_320, (
        "VGG (2014): 3 x 3 convolutions, then large linear layers; 16 layers."), 1000, 224, 32),
    "vgg16_bn": ModelInfo("vgg16_bn", 138_365_992, 15_470_264_320, (
        "VGG (2014): 3 x 3 convolutions, then large linear layers; 16 layers, with BatchNorm."), 1000, 224, 32),
    "vgg19": ModelInfo("vgg19", 143_667_240, 19_632_062_464, (
        "VGG (2014): 3 x 3 convolutions, then large linear layers; 19 layers."), 1000, 224, 32),
    "vgg19_bn": ModelInfo("vgg19_bn", 143_678_248, 19_632_062_464, (
        "VGG (2014): 3 x 3 convolutions, then large linear layers; 19 layers, with BatchNorm."), 1000, 224, 32),
    "vit_b_16": ModelInfo("vit_b_16", 86_567_656, 16_848_500_736, (
        "Vision transformer (2020): attention over 16 x 16 pixel patches, with GELU; base."), 1000, 224, 224, True),
    "vit_b_32": ModelInfo("vit_b_32", 88_224_232, 4_363_106_304, (
        "Vision transformer (2020): attention over 32 x 32 pixel patches, with GELU; base."), 1000, 224, 224, True),
    "vit_h_14": ModelInfo("vit_h_14", 632_045_800, 161_884_375_040, (
        "Vision transformer (2020): attention over 14 x 14 pixel patches, with GELU; huge."), 1000, 224, 224, True),
    "vit_l_16": ModelInfo("vit_l_16", 304_326_632, 59_647_172_608, (
        "Vision transformer (2020): attention over 16 x 16 pixel patches, with GELU; large."), 1000, 224, 224, True),
    "vit_l_32": ModelInfo("vit_l_32", 306_535_400, 15_254_659_072, (
        "Vision transformer (2020): attention over 32 x 32 pixel patches, with GELU; large."), 1000, 224, 224, True),
    "wide_resnet101_2": ModelInfo("wide_resnet101_2", 126_886_696, 22_753_050_624, (
        "Wide ResNet (2016): a ResNet with bottlenecks twice as wide; 101 layers."), 1000, 224, 1),
    "wide_resnet50_2": ModelInfo("wide_resnet50_2", 68_883_240, 11_398_021_120, (
        "Wide ResNet (2016): a ResNet with bottlenecks twice as wide; 50 layers."), 1000, 224, 1),
}
