"""How deep linear networks learn: starts, descent, what moves and what rests, and the narrow twin of a wide one."""

from lowrank_kit.maths.dynamics.angles import largest_angles, vector_angles
from lowrank_kit.maths.dynamics.descent import RULES, Rule, descend, descended, gradients, products, sharpness
from lowrank_kit.maths.dynamics.modes import mode_strength
from lowrank_kit.maths.dynamics.objective import Objective
from lowrank_kit.maths.dynamics.parsimony import Blocks, Twin, blocks, gap, moving_directions, resting_values, twin
from lowrank_kit.maths.dynamics.scatter import layer_scatter
from lowrank_kit.maths.dynamics.starts import STARTS, aligned, start

__all__ = [
    "RULES",
    "STARTS",
    "Blocks",
    "Objective",
    "Rule",
    "Twin",
    "aligned",
    "blocks",
    "descend",
    "descended",
    "gap",
    "gradients",
    "largest_angles",
    "layer_scatter",
    "mode_strength",
    "moving_directions",
    "products",
    "resting_values",
    "sharpness",
    "start",
    "twin",
    "vector_angles",
]
