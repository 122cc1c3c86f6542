"""What a network holds while it is trained, and while it is only used."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from lowrank_kit.measurement.cost import size_bytes
from lowrank_kit.models.running import weight_of
from lowrank_kit.records import TrainingMemory

__all__ = ["training_memory"]

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def training_memory(
    model: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    optimiser: torch.optim.Optimizer | None = None,
    loss: Loss = F.cross_entropy,
) -> TrainingMemory:
    """Bytes held at the end of a forward pass on a batch, counted tensor by tensor.

    Gradients are as large as what is trained; what the forward pass keeps for the backward pass is counted once for
    each piece of memory, weights aside. Workspaces of kernels are not seen, nor the copies that a Training keeps of
    weights and moments to undo a step. Buffers are put back.
    """
    device, kept = weight_of(model).device, dict[int, int]()
    own = {p.untyped_storage().data_ptr() for p in (*model.parameters(), *model.buffers())}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    before = [buffer.clone() for buffer in model.buffers()]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = loss(model(x.to(device)), y.to(device))  # until the count is read, so that no memory is used twice
    for buffer, values in zip(model.buffers(), before, strict=True):
        buffer.copy_(values)
    state = [] if optimiser is None else [v for s in optimiser.state.values() for v in s.values()]
    return TrainingMemory(
        weights=size_bytes(model),
        gradients=sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad),
        moments=sum(v.numel() * v.element_size() for v in state if isinstance(v, torch.Tensor)),
        activations=sum(kept.values()) if result.requires_grad else 0,
    )
