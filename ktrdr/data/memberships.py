"""The shapes of fuzzy sets as modules: many sets of one shape at once, fixed or learnable.

What is learnt is an offset in units of the set's own width, so that one learning rate suits an RSI and
a price. Offsets start at 0, where the learnable sets are the fixed ones bit for bit. A width is its
start times exp(offset): it stays positive, and a width of zero stays zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import nn

Room = torch.Tensor | None
TINY = float(torch.finfo(torch.float32).tiny)
LARGEST_OFFSET = 10.0  # a width changes by a factor of 22,026 at most


class Shapes(nn.Module):
    """Membership functions of one kind, by their parameters (s, p); `which` (f,) picks one for each feature.

    Learnable, `offsets` (s, p) is a parameter; fixed, everything that depends on the sets alone is
    computed here once.
    """

    offsets: torch.Tensor
    start: torch.Tensor
    which: torch.Tensor
    fixed: torch.Tensor

    def __init__(
        self, parameters: Sequence[Sequence[float]], which: Sequence[int], *, learnable: bool
    ) -> None:
        super().__init__()
        self.written = torch.tensor([*parameters], dtype=torch.float64)
        self.learnable = learnable
        self.register_buffer("start", self.written.float(), persistent=False)
        self.register_buffer("which", torch.tensor([*which]), persistent=False)
        self._shared = [*which] != [*range(len(parameters))]
        if learnable:
            self.offsets = nn.Parameter(torch.zeros_like(self.start))
        else:
            zero = torch.zeros_like(self.start)
            self.register_buffer("fixed", self._at(self.start, zero), persistent=False)

    def forward(self, readings: torch.Tensor, out: Room = None, spare: Room = None) -> torch.Tensor:
        """Readings (f, m), those of each feature in a row, or (1, m) for all of them → degrees (f, m).

        Fixed sets compute in `out` and `spare`, each (f, m), where they are given: new memory for what
        comes between takes longer than computing it.
        """
        constants = self._at(self.start, self.offsets) if self.learnable else self.fixed
        return self.degrees(readings, constants.unbind(), out, spare)

    def learned(self) -> list[list[float]]:
        """The parameters (s, p) as they are now, in the grammar's order and in double precision."""
        if not self.learnable:
            return [[*map(float, row)] for row in self.written]
        moved = self.moved(self.written, self.offsets.detach().cpu().double())
        return [[*map(float, row)] for row in moved]

    def _at(self, start: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        constants = torch.stack(self.constants(start, offsets))
        return (constants.index_select(1, self.which) if self._shared else constants).unsqueeze(2)

    def _within(self, readings: torch.Tensor, middle: torch.Tensor, reach: torch.Tensor) -> torch.Tensor:
        """Readings cut to where the shape still changes: beyond, 0 · inf would make its gradient NaN."""
        if not self.learnable:
            return readings
        middle, reach = middle.detach(), reach.detach()
        return readings.clamp(middle - reach, middle + reach)

    def moved(self, start: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        """Parameters (s, p) moved by offsets (s, p)."""
        raise NotImplementedError

    def constants(self, start: torch.Tensor, offsets: torch.Tensor) -> list[torch.Tensor]:
        """What `degrees` computes with, each (s,)."""
        raise NotImplementedError

    def degrees(
        self, x: torch.Tensor, constants: Sequence[torch.Tensor], out: Room, spare: Room
    ) -> torch.Tensor:
        """(f, m) → (f, m), by constants (f, 1)."""
        raise NotImplementedError


class Flanks(Shapes):
    """Triangular and trapezoidal sets (Zadeh 1965) by four points: left, top, plateau, right.

    min((x - left) / (top - left), (right - x) / (right - plateau)) cut to [0, 1]: 0 outside the points.
    A flank of width zero is a step, whose point belongs to the set. Offsets: all points by the whole
    width, then the three widths. A step moves with its set, but its own place has no gradient.
    """

    def __init__(
        self, parameters: Sequence[Sequence[float]], which: Sequence[int], *, learnable: bool
    ) -> None:
        super().__init__(parameters, which, learnable=learnable)
        self._steps = bool((self.start.diff(dim=1)[:, ::2] == 0.0).any())

    def learned(self) -> list[list[float]]:
        """Rounding may lift a point above the next one: the running maximum keeps them in order."""
        return [[*accumulate(row, max)] for row in super().learned()]

    def moved(self, start: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        widths = start.diff(dim=1)
        shift = (start[:, 3:] - start[:, :1]) * offsets[:, :1]
        growth = widths * torch.expm1(offsets[:, 1:].clamp(-LARGEST_OFFSET, LARGEST_OFFSET))
        added = torch.cat([torch.zeros_like(shift), growth.cumsum(dim=1)], dim=1)
        return start + (shift + added)

    def constants(self, start: torch.Tensor, offsets: torch.Tensor) -> list[torch.Tensor]:
        """A step is a flank of next to no width whose point is well inside: no other number is on it."""
        widths = start.diff(dim=1)
        growth = widths * torch.expm1(offsets[:, 1:].clamp(-LARGEST_OFFSET, LARGEST_OFFSET))
        shift = (start[:, 3] - start[:, 0]) * offsets[:, 0]
        left, right = start[:, 0] + shift, start[:, 3] + (shift + growth.sum(dim=1))
        steps = widths == 0.0
        rise, _, fall = torch.where(steps, TINY, widths + growth).unbind(dim=1)
        inside = steps * (2.0 * TINY)
        return [left, inside[:, 0], rise, right, inside[:, 2], fall]

    def degrees(
        self, x: torch.Tensor, constants: Sequence[torch.Tensor], out: Room, spare: Room
    ) -> torch.Tensor:
        left, inside_left, rise, right, inside_right, fall = constants
        x = self._within(x, left, 2.0 * (right - left))
        rising, falling = torch.sub(x, left, out=out), torch.sub(right, x, out=spare)
        if self._steps:
            rising, falling = rising.add_(inside_left), falling.add_(inside_right)
        return torch.minimum(rising.div_(rise), falling.div_(fall), out=out).clamp_(0.0, 1.0)


class Gaussians(Shapes):
    """exp(-((x - mean) / sigma)² / 2) by mean and sigma. Offsets: the mean by sigma, and sigma."""

    def moved(self, start: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        mean, sigma = start.unbind(dim=1)
        by, width = offsets.unbind(dim=1)
        grown = sigma * torch.exp(width.clamp(-LARGEST_OFFSET, LARGEST_OFFSET))
        return torch.stack([mean + sigma * by, grown], dim=1)

    def constants(self, start: torch.Tensor, offsets: torch.Tensor) -> list[torch.Tensor]:
        return [*self.moved(start, offsets).unbind(dim=1)]

    def degrees(
        self, x: torch.Tensor, constants: Sequence[torch.Tensor], out: Room, spare: Room
    ) -> torch.Tensor:
        mean, sigma = constants
        x = self._within(x, mean, 40.0 * sigma)  # exp(-800) is 0 in double too
        away = torch.sub(x, mean, out=out).div_(sigma)
        return torch.mul(away, away, out=out).mul_(-0.5).exp_()


class Sigmoids(Shapes):
    """1 / (1 + exp(-slope (x - centre))) by centre and slope, whose sign stays.

    Offsets: the centre by 1 / |slope|, and the slope.
    """

    def moved(self, start: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        centre, slope = start.unbind(dim=1)
        by, steeper = offsets.unbind(dim=1)
        grown = slope * torch.exp(steeper.clamp(-LARGEST_OFFSET, LARGEST_OFFSET))
        return torch.stack([centre + by / slope.abs(), grown], dim=1)

    def constants(self, start: torch.Tensor, offsets: torch.Tensor) -> list[torch.Tensor]:
        return [*self.moved(start, offsets).unbind(dim=1)]

    def degrees(
        self, x: torch.Tensor, constants: Sequence[torch.Tensor], out: Room, spare: Room
    ) -> torch.Tensor:
        centre, slope = constants
        x = self._within(x, centre, 800.0 / slope.abs())  # 0 or 1 in double too
        return torch.sub(x, centre, out=out).mul_(slope).sigmoid_()
