"""Networks as others build them, small and with random weights: name -> (how to build it, inputs, what it puts out)."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from torch import nn

try:
    import torchvision  # noqa: F401 (timm loads it)
except RuntimeError:
    # Its operators come with the CUDA build alone; beside PyTorch for the CPU they are only declared.
    DECLARED = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        DECLARED.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import timm
from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel


class Basic(nn.Module):
    """The block of the smaller ResNets (He et al. 2016, figure 5, left)."""

    def __init__(self, inputs, outputs, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn1, self.bn2, self.relu = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
        self.downsample = shortcut(inputs, outputs, stride)

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


class Bottleneck(nn.Module):
    """The block of the larger ResNets (figure 5, right), its middle in groups as in ResNeXt."""

    def __init__(self, inputs, outputs, stride=1, groups=1):
        super().__init__()
        width = outputs // 4
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, groups=groups, bias=False)
        self.bn2, self.bn3 = nn.BatchNorm2d(width), nn.BatchNorm2d(outputs)
        self.conv3, self.relu = nn.Conv2d(width, outputs, 1, bias=False), nn.ReLU(inplace=True)
        self.downsample = shortcut(inputs, outputs, stride)

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(y)))))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


def shortcut(inputs, outputs, stride):
    if inputs == outputs and stride == 1:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def resnet(block, **kwargs):
    return nn.Sequential(
        nn.Conv2d(3, 16, 7, 2, 3, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
        block(16, 16, **kwargs),
        block(16, 32, 2, **kwargs),
        block(32, 32, **kwargs),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 5),
    )


class DenseLayer(nn.Module):
    """A layer that reads what all layers before it have put out (Huang et al. 2017)."""

    def __init__(self, inputs, growth):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(4 * growth), nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x):
        y = self.conv1(torch.relu(self.norm1(x)))
        return torch.cat([x, self.conv2(torch.relu(self.norm2(y)))], 1)


def densenet():
    blocks = [nn.Sequential(*(DenseLayer(start + 8 * i, 8) for i in range(3))) for start in (16, 20)]
    transition = nn.Sequential(nn.BatchNorm2d(40), nn.ReLU(), nn.Conv2d(40, 20, 1, bias=False), nn.AvgPool2d(2))
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1, bias=False),
        blocks[0],
        transition,
        blocks[1],
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(44, 5),
    )


class UNet(nn.Module):
    """Down and up again, with what was there on the way down laid beside (Ronneberger et al. 2015)."""

    def __init__(self):
        super().__init__()
        self.first, self.down = twice(3, 16), twice(16, 32)
        self.pool, self.up = nn.MaxPool2d(2), nn.ConvTranspose2d(32, 16, 2, stride=2)
        self.last, self.out = twice(32, 16), nn.Conv2d(16, 2, 1)

    def forward(self, x):
        first = self.first(x)
        return self.out(self.last(torch.cat([first, self.up(self.down(self.pool(first)))], 1)))


def twice(inputs, outputs):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1, padding_mode="replicate"),
        nn.ReLU(inplace=True),
    )


def bert():
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    return BertForSequenceClassification(BertConfig(vocab_size=50, max_position_embeddings=16, num_labels=5, **sizes))


def gpt2():
    tokens = {"vocab_size": 50, "bos_token_id": 0, "eos_token_id": 0}
    return GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=16, **tokens))


def vit():
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
    return timm.create_model("vit_tiny_patch16_224", num_classes=5, **sizes)


def convnext():
    return timm.create_model("convnext_atto", depths=(1, 1, 2, 1), dims=(16, 24, 32, 48), num_classes=5)


def efficientnet():
    return timm.create_model("test_efficientnet", num_classes=5)


def efficientnet_of_tensorflow():
    """Its strided convolutions pad as TensorFlow's do."""
    return timm.create_model("tf_efficientnet_lite0", num_classes=5)


def images(size):
    return torch.rand(4, 3, size, size, generator=torch.Generator().manual_seed(1))


def words():
    return torch.randint(50, (4, 9), generator=torch.Generator().manual_seed(1))


NETWORKS = {
    "ResNet of basic blocks": (lambda: resnet(Basic), images(32)),
    "ResNet of bottlenecks": (lambda: resnet(Bottleneck), images(32)),
    "ResNeXt": (lambda: resnet(Bottleneck, groups=2), images(32)),
    "DenseNet": (densenet, images(32)),
    "U-Net": (UNet, images(16)),
    "BERT (transformers)": (bert, words()),
    "GPT-2 (transformers)": (gpt2, words()),
    "ViT (timm)": (vit, images(32)),
    "ConvNeXt (timm)": (convnext, images(64)),
    "EfficientNet (timm)": (efficientnet, images(64)),
    "EfficientNet of TensorFlow (timm)": (efficientnet_of_tensorflow, images(64)),
}


def built(name, seed=0):
    """The network in eval mode, with running statistics of its own."""
    torch.manual_seed(seed)
    model = NETWORKS[name][0]().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1), module.running_var.uniform_(0.5, 1.5)
    return model


@torch.no_grad()
def outputs(model, name):
    x = NETWORKS[name][1]
    weight = next(model.parameters())
    found = model(x.to(weight.dtype) if x.is_floating_point() else x)
    return getattr(found, "logits", found)
