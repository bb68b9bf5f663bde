"""The frame of a chart: SVG that grows with the page while its lettering keeps its size.

The height is in pixels and the width in per cent. Lines are drawn in a box a thousand units wide that is
stretched to the page; lettering and marks stand outside of it, so that nothing is distorted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ktrdr.reporting.scales import Scale, Tick
from ktrdr.reporting.wording import alike, text

WIDTH = 1000.0
TOP, BOTTOM = 22.0, 26.0
AXIS = 64  # pixels, for the values at the left


@dataclass(frozen=True)
class Chart:
    """One chart: `stretched` lies in the box of a thousand units, `fixed` outside of it.

    `alt` is what somebody hears who does not see it, and `note` is HTML above it. `axis` and `below` name
    the two axes, `unit` follows each value of the first. `read_out` names the data under the pointer, if
    there are any. `wide` is pixels: a chart that is wider than the page is scrolled.
    """

    name: str
    title: str
    alt: str
    height: int
    axis: str
    scale: Scale
    ticks: Sequence[Tick]
    stretched: str = ""
    fixed: str = ""
    note: str = ""
    below: str = "time, UTC"
    unit: str = ""
    read_out: str = ""
    wide: int = 0

    def html(self) -> str:
        note = f'<p class="note">{self.note}</p>' if self.note else ""
        return f'<section id="{self.name}"><h2>{text(self.title)}</h2>{note}{self.frame()}</section>'

    def frame(self) -> str:
        """The chart without its title."""
        hover = f' data-read="{text(self.read_out)}"' if self.read_out else ""
        rolling = ' class="pane rolling" tabindex="0"' if self.wide else ' class="pane"'
        return f'<div class="chart"{hover}>{self._axis()}<div{rolling}>{self._plot()}</div></div>'

    def _axis(self) -> str:
        values = self.scale.ticks()
        written = alike(values, unit=self.unit)
        x = AXIS - 8
        labels = "".join(
            f'<text x="{x}" y="{self.scale.at(one) + 4:.1f}" class="tick end">{text(written(one))}</text>'
            for one in values
        )
        return (
            f'<svg class="axis" width="{AXIS}" height="{self.height}" aria-hidden="true">'
            f'<text x="{x}" y="10" class="unit end">{text(self.axis)}</text>{labels}'
            f'<text x="0" y="{self.height - 8}" class="unit">{text(self.below)}</text></svg>'
        )

    def _plot(self) -> str:
        grid = "".join(
            f'<line class="grid" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>'
            for y in map(self.scale.at, self.scale.ticks())
        )
        width = f'{self.wide}"' if self.wide else '100%"'
        return (
            f'<svg class="plot" width="{width} height="{self.height}" role="img" '
            f'aria-label="{text(self.alt)}">{grid}{self._dates()}'
            f'<svg width="100%" height="{self.height}" viewBox="0 0 {WIDTH:.0f} {self.height}" '
            f'preserveAspectRatio="none">{self.stretched}</svg>{self.fixed}'
            f'<line class="cross" x1="-9" x2="-9" y1="{TOP:.0f}" y2="{self.height - BOTTOM:.0f}"/></svg>'
        )

    def _dates(self) -> str:
        floor = self.height - BOTTOM
        drawn = []
        for number, one in enumerate(self.ticks):
            place = f"{one.place * 100.0:.2f}%"
            side = "end" if one.place > 0.97 else "start" if one.place < 0.03 else "middle"
            # On a phone every other one is left out.
            rare = " rare" if number % 2 and len(self.ticks) > 4 else ""
            drawn.append(
                f'<line class="grid{rare}" x1="{place}" x2="{place}" y1="{floor:.0f}" y2="{floor + 4:.0f}"/>'
                f'<text x="{place}" y="{self.height - 8}" class="tick {side}{rare}">{text(one.label)}</text>'
            )
        return "".join(drawn)


def path(points: Iterable[tuple[float, float]]) -> str:
    """The `d` of a line through the points."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def line(points: Iterable[tuple[float, float]], kind: str) -> str:
    return f'<path class="line {kind}" d="{path(points)}"/>'


def scale_of(
    values: Sequence[float], height: int, make: Callable[[Sequence[float], float, float], Scale]
) -> Scale:
    """A scale between the top of a chart of this height and its time axis."""
    return make(values, TOP, height - BOTTOM)
