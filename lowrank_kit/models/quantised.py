"""Layers in int8, which low rank competes with."""

import warnings

import torch
from torch import nn

from lowrank_kit.checks import InputError

__all__ = ["int8"]


def int8(layer: nn.Module) -> nn.Module:
    """A linear layer or convolution in int8, from float32 inputs to float32 outputs; CPU only.

    Inputs of a linear layer are scaled anew in every pass; those of a convolution by a scale that suits standard normal
    numbers. PyTorch announces that torch.ao will give way to the package torchao, whose int8 on CPUs needs a compiler.
    Raises InputError for other layers.
    """
    if not isinstance(layer, nn.Linear | nn.Conv2d):
        raise InputError(f"linear layers and two-dimensional convolutions have a form in int8; got {layer}.")
    quantisation = torch.ao.quantization
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if isinstance(layer, nn.Linear):
            found: nn.Module = quantisation.quantize_dynamic(nn.Sequential(layer), {nn.Linear}, dtype=torch.qint8)
            return found
        row = nn.Sequential(quantisation.QuantStub(), layer, quantisation.DeQuantStub()).eval()
        row.qconfig = quantisation.get_default_qconfig("x86")
        prepared = quantisation.prepare(row)
        size = 16 + max(layer.kernel_size)
        prepared(torch.randn(8, layer.in_channels, size, size, generator=torch.Generator().manual_seed(0)))
        converted: nn.Module = quantisation.convert(prepared)
    return converted
