"""The shapes of fuzzy sets as modules: many sets of one shape at once, fixed or learnable.

What is learnt is an offset in units of the set's own width, so that one learning rate suits an RSI and
a price. Offsets start at 0, where the learnable sets are the fixed ones bit for bit. A width is its
start times exp(offset): it stays positive, and a width of zero stays zero.
"""

from __future__ import annotations

from collections.abc import Sequence

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
        self.steps = bool((self.start.diff(dim=1) == 0.0).any())
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
        moved = self.moved(self.written, self.offsets.detach().double().cpu())
        return [[*map(float, row)] for row in moved]

    def _at(self, start: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        return torch.stack(self.constants(start, offsets))[:, self.which].unsqueeze(2)

    def _within(self, readings: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
        """Readings cut to where the shape still changes: beyond, 0 · inf would make its gradient NaN."""
        return readings.clamp(low.detach(), high.detach()) if self.learnable else readings

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

    def moved(self, start: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        """Rounding may lift a point above the next one: the running maximum keeps them in order."""
        widths = start.diff(dim=1)
        shift = (start[:, 3:] - start[:, :1]) * offsets[:, :1]
        growth = widths * torch.expm1(offsets[:, 1:].clamp(-LARGEST_OFFSET, LARGEST_OFFSET))
        added = torch.cat([torch.zeros_like(shift), growth.cumsum(dim=1)], dim=1)
        return (start + (shift + added)).cummax(dim=1).values

    def constants(self, start: torch.Tensor, offsets: torch.Tensor) -> list[torch.Tensor]:
        """A step is a flank of next to no width whose point is well inside: no other number is on it."""
        left, _, _, right = self.moved(start, offsets).unbind(dim=1)
        widths = start.diff(dim=1)
        grown = widths * torch.exp(offsets[:, 1:].clamp(-LARGEST_OFFSET, LARGEST_OFFSET))
        rise, _, fall = torch.where(widths > 0.0, grown, TINY).unbind(dim=1)
        inside_left, _, inside_right = torch.where(widths > 0.0, 0.0, 2.0 * TINY).unbind(dim=1)
        return [left, inside_left, rise, right, inside_right, fall]

    def degrees(
        self, x: torch.Tensor, constants: Sequence[torch.Tensor], out: Room, spare: Room
    ) -> torch.Tensor:
        left, inside_left, rise, right, inside_right, fall = constants
        x = self._within(x, left - (right - left), right + (right - left))
        rising, falling = torch.sub(x, left, out=out), torch.sub(right, x, out=spare)
        if self.steps:
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
        x = self._within(x, mean - 40.0 * sigma, mean + 40.0 * sigma)  # exp(-800) is 0 in double too
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
        far = 800.0 / slope.abs()  # where it is 0 or 1 in double precision
        x = self._within(x, centre - far, centre + far)
        return torch.sub(x, centre, out=out).mul_(slope).sigmoid_()
