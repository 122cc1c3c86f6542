"""Counting multiply-adds while a network runs, by PyTorch's own closed formulas for each operation."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.backends import mkldnn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

__all__ = ["Counter", "plain_formulas"]


class Counter(TorchDispatchMode):
    """While it is entered, `macs` grows with every convolution and product of matrices.

    PyTorch's FlopCounterMode does this too, but takes two seconds and 80 MB for the compiler it brings along.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    @property
    def macs(self) -> int:
        return self.flops // 2

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=output)
        return output


@contextmanager
def plain_formulas(model: nn.Module) -> Iterator[None]:
    """Without gradients, and with attention and recurrence as products of matrices: fused kernels can't be counted."""
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))  # there, operations would arrive undivided
        stack.enter_context(torch.no_grad())
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
        torch.backends.mha.set_fastpath_enabled(False)
        if any(isinstance(module, nn.RNNBase) for module in model.modules()):
            with warnings.catch_warnings():  # PyTorch's own switch sets a second one, which warns without a GPU
                warnings.simplefilter("ignore", UserWarning)
                stack.enter_context(mkldnn.flags(enabled=False))
        yield
