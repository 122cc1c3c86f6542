"""Carrying an optimiser's memory of a parameter over to other coordinates."""

from collections.abc import Sequence

import torch

from lowrank_kit.models.bases import multi_mode_product

__all__ = ["transport"]

# What Adam, RMSprop, Adadelta and Adagrad remember of squares, which changes like squares and is never negative.
SQUARES = ("exp_avg_sq", "max_exp_avg_sq", "square_avg", "acc_delta", "sum")


def transport(
    optimiser: torch.optim.Optimizer, parameter: torch.Tensor, shape: Sequence[int], maps: Sequence[torch.Tensor]
) -> None:
    """Carry everything remembered about a parameter of the old `shape` over to C x_1 M_1 x_2 M_2 ... = C new.

    m becomes m x_i M_i, and an average of squares v becomes (sqrt(v) x_i M_i)^2.
    """
    state = optimiser.state.get(parameter, {})
    for name, values in state.items():
        if isinstance(values, torch.Tensor) and values.shape == torch.Size(shape):
            squared = name in SQUARES
            moved = multi_mode_product(values.sqrt() if squared else values, maps)
            state[name] = (moved.square() if squared else moved).contiguous()
