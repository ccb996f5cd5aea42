"""Names of models, which can be checked without TensorFlow."""

REGISTRY = {
    "dense": "pipeline.models.classic:dense",
    "softmax": "pipeline.models.classic:softmax",
    "hidden": "pipeline.models.classic:hidden",
    "convolutional": "pipeline.models.classic:convolutional",
    "cnn": "pipeline.models.classic:cnn",
    "fully_connected": "pipeline.models.classic:fully_connected",
    "cnn_bn": "pipeline.models.normalized:cnn_bn",
    "cnn_bn_large": "pipeline.models.normalized:cnn_bn_large",
    "resnet20": "pipeline.models.residual:resnet20",
    "resnet50": "pipeline.models.residual:resnet50",
    "resnet18": "pipeline.models.residual:resnet18",
    "wideresnet": "pipeline.models.wide:wideresnet",
    "wideresnet28_10": "pipeline.models.wide:wideresnet28_10",
    "whitened": "pipeline.models.whitened:whitened",
    "whitened_wide": "pipeline.models.whitened:whitened_wide",
}

KERAS = "keras:"  # begins the name of a network of keras.applications

_MODULES = {
    "convnext": ("ConvNeXtTiny", "ConvNeXtSmall", "ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtXLarge"),
    "densenet": ("DenseNet121", "DenseNet169", "DenseNet201"),
    "efficientnet": tuple(f"EfficientNetB{size}" for size in range(8)),
    "efficientnet_v2": tuple(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")),
    "inception_resnet_v2": ("InceptionResNetV2",),
    "inception_v3": ("InceptionV3",),
    "mobilenet": ("MobileNet",),
    "mobilenet_v2": ("MobileNetV2",),
    "mobilenet_v3": ("MobileNetV3Small", "MobileNetV3Large"),
    "nasnet": ("NASNetMobile", "NASNetLarge"),
    "resnet": ("ResNet50", "ResNet101", "ResNet152"),
    "resnet_v2": ("ResNet50V2", "ResNet101V2", "ResNet152V2"),
    "vgg16": ("VGG16",),
    "vgg19": ("VGG19",),
    "xception": ("Xception",),
}
# The networks of keras.applications, and the module of each, which has its preprocessing.
APPLICATIONS = {name: module for module, names in _MODULES.items() for name in names}


def target(name: str) -> str:
    """The module:function that makes the model of this name."""
    if name.startswith(KERAS):
        return f"pipeline.models.applications:{name.removeprefix(KERAS)}"
    return REGISTRY.get(name, name)
