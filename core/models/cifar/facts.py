"""Facts about more networks for small images, for 10 classes and 32 x 32 pixels.

They have the layouts of repositories whose checkpoints are common, which their builders name.
"""

from core.models.info import ModelInfo

CIFAR: dict[str, ModelInfo] = {
    "ResNet110": ModelInfo(
        name="ResNet110",
        parameters=1_727_962,
        macs=252_887_680,
        description="ResNet20 with eighteen blocks a stage instead of three.",
    ),
    "ResNet20B": ModelInfo(
        name="ResNet20B",
        parameters=272_474,
        macs=40_813_184,
        description=(
            "ResNet20 whose shortcuts are 1 x 1 convolutions where the channels change (option B)."
        ),
    ),
    "ResNet32B": ModelInfo(
        name="ResNet32B",
        parameters=466_906,
        macs=69_124_736,
        description="ResNet20B with five blocks a stage instead of three.",
    ),
    "ResNet44B": ModelInfo(
        name="ResNet44B",
        parameters=661_338,
        macs=97_436_288,
        description="ResNet20B with seven blocks a stage instead of three.",
    ),
    "ResNet56B": ModelInfo(
        name="ResNet56B",
        parameters=855_770,
        macs=125_747_840,
        description="ResNet20B with nine blocks a stage instead of three.",
    ),
    "ResNet110B": ModelInfo(
        name="ResNet110B",
        parameters=1_730_714,
        macs=253_149_824,
        description="ResNet20B with eighteen blocks a stage instead of three.",
    ),
    "ResNet18": ModelInfo(
        name="ResNet18",
        parameters=11_173_962,
        macs=555_422_720,
        description=(
            "8 residual blocks of two 3 x 3 convolutions, 64 to 512 channels; the first"
            " layer fits small images."
        ),
    ),
    "ResNet8": ModelInfo(
        name="ResNet8",
        parameters=78_186,
        macs=12_501_632,
        description=(
            "The ResNet of MLPerf Tiny for microcontrollers: three residual blocks, 16 to 64"
            " channels."
        ),
    ),
    "VGG11BN": ModelInfo(
        name="VGG11BN",
        parameters=9_231_114,
        macs=152_769_536,
        description="8 convolutions with BatchNorm, and one linear layer.",
    ),
    "VGG13BN": ModelInfo(
        name="VGG13BN",
        parameters=9_416_010,
        macs=228_267_008,
        description="10 convolutions with BatchNorm, and one linear layer.",
    ),
    "VGG16BN": ModelInfo(
        name="VGG16BN",
        parameters=14_728_266,
        macs=313_201_664,
        description="13 convolutions with BatchNorm, and one linear layer.",
    ),
    "VGG19BN": ModelInfo(
        name="VGG19BN",
        parameters=20_040_522,
        macs=398_136_320,
        description="16 convolutions with BatchNorm, and one linear layer.",
    ),
    "VGG11BN3": ModelInfo(
        name="VGG11BN3",
        parameters=9_756_426,
        macs=153_293_824,
        description="8 convolutions with BatchNorm, and three linear layers with dropout.",
    ),
    "VGG13BN3": ModelInfo(
        name="VGG13BN3",
        parameters=9_941_322,
        macs=228_791_296,
        description="10 convolutions with BatchNorm, and three linear layers with dropout.",
    ),
    "VGG16BN3": ModelInfo(
        name="VGG16BN3",
        parameters=15_253_578,
        macs=313_725_952,
        description="13 convolutions with BatchNorm, and three linear layers with dropout.",
    ),
    "VGG19BN3": ModelInfo(
        name="VGG19BN3",
        parameters=20_565_834,
        macs=398_660_608,
        description="16 convolutions with BatchNorm, and three linear layers with dropout.",
    ),
    "VGG11LTH": ModelInfo(
        name="VGG11LTH",
        parameters=9_231_114,
        macs=152_769_536,
        description=(
            "VGG11BN with an average in place of the last max-pool, as in the lottery ticket"
            " papers."
        ),
    ),
    "VGG13LTH": ModelInfo(
        name="VGG13LTH",
        parameters=9_416_010,
        macs=228_267_008,
        description=(
            "VGG13BN with an average in place of the last max-pool, as in the lottery ticket"
            " papers."
        ),
    ),
    "VGG16LTH": ModelInfo(
        name="VGG16LTH",
        parameters=14_728_266,
        macs=313_201_664,
        description=(
            "VGG16BN with an average in place of the last max-pool, as in the lottery ticket"
            " papers."
        ),
    ),
    "VGG19LTH": ModelInfo(
        name="VGG19LTH",
        parameters=20_040_522,
        macs=398_136_320,
        description=(
            "VGG19BN with an average in place of the last max-pool, as in the lottery ticket"
            " papers."
        ),
    ),
    "WRN28x2": ModelInfo(
        name="WRN28x2",
        parameters=1_467_610,
        macs=214_353_152,
        description=(
            "Wide ResNet: 28 layers, BatchNorm in front of each convolution, 32 to 128 channels."
        ),
    ),
    "WRN28x4": ModelInfo(
        name="WRN28x4",
        parameters=5_849_050,
        macs=845_597_184,
        description="WRN28x2 with twice the channels, 64 to 256.",
    ),
    "WRN28x10": ModelInfo(
        name="WRN28x10",
        parameters=36_479_194,
        macs=5_243_328_768,
        description=(
            "WRN28x2 with five times the channels, 160 to 640: large, and slow without a GPU."
        ),
    ),
    "MobileNetV2": ModelInfo(
        name="MobileNetV2",
        parameters=2_296_922,
        macs=91_154_944,
        description=(
            "17 inverted residual blocks with depthwise convolutions; the first layer fits"
            " small images."
        ),
    ),
}
