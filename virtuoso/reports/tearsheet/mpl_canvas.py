"""Charts on a PDF: matplotlib paints straight onto a reportlab canvas, as lines and real text.

`Painter` is what matplotlib calls a renderer. It knows paths, markers (through matplotlib's own fallback), text,
clipping and hatches, which is what the charts of this package use. Text is set in DejaVu Sans, which matplotlib carries
along and measures with; `fonts` embeds it into the PDF.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.path import Path

from virtuoso.reports.charts.base import DOTS, drawing, mark_simulated

if TYPE_CHECKING:
    from matplotlib.font_manager import FontProperties
    from matplotlib.transforms import Transform

    from virtuoso.reports.charts.sheet import Chart

PLAIN, BOLD, MONO = "DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono"
HATCH_TILE = 72.0
"""Side of matplotlib's hatch pattern, in points."""


@cache
def fonts() -> tuple[str, str, str]:
    """Make the fonts of the PDF known to reportlab: plain, bold and monospaced."""
    import matplotlib as mpl
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    home = File(mpl.get_data_path()) / "fonts" / "ttf"
    for name in (PLAIN, BOLD, MONO):
        pdfmetrics.registerFont(TTFont(name, str(home / f"{name}.ttf")))
    pdfmetrics.registerFontFamily(PLAIN, normal=PLAIN, bold=BOLD, italic=PLAIN, boldItalic=BOLD)
    return PLAIN, BOLD, MONO


def paint(chart: Chart, canvas: Any, width: float) -> None:
    """Paint a chart at the origin of a canvas.

    Parameters
    ----------
    chart : Chart
    canvas : reportlab canvas
    width : float, points
        Its height follows.
    """
    fonts()
    with drawing(chart.width, chart.height) as figure:
        chart.paint(figure)
        if chart.simulated:
            mark_simulated(figure)
        canvas.saveState()
        canvas.scale(width / chart.width, width / chart.width)
        figure.draw(Painter(canvas, chart.width, chart.height))
        canvas.restoreState()


class Painter(RendererBase):
    """Draws what matplotlib asks for on a canvas; a unit is a pixel of the chart.

    Parameters
    ----------
    canvas : reportlab canvas
    width, height : float, pixels
    """

    def __init__(self, canvas: Any, width: float, height: float) -> None:
        super().__init__()
        self.canvas, self.size = canvas, (width, height)

    def get_canvas_width_height(self) -> tuple[float, float]:
        """Size in pixels."""
        return self.size

    def points_to_pixels(self, points: Any) -> Any:
        """Points are pixels here."""
        return points * DOTS / 72.0

    def flipy(self) -> bool:
        """Whether y grows downwards: on paper it grows upwards."""
        return False

    def draw_path(
        self,
        gc: GraphicsContextBase,
        path: Path,
        transform: Transform,
        rgbFace: Any = None,
    ) -> None:
        """Draw a path with the pen of `gc`, filled if a colour is given, hatched if `gc` says so."""
        self.canvas.saveState()
        self._clip(gc)
        clip = None if rgbFace is not None else (0.0, 0.0, *self.size)
        shape = self._shape(path, transform, clip)
        stroke = gc.get_linewidth() > 0.0
        if stroke:
            self._pen(gc)
        fill = rgbFace is not None
        if fill:
            alpha = gc.get_alpha() if gc.get_forced_alpha() or len(rgbFace) < 4 else rgbFace[3]
            self.canvas.setFillColorRGB(*rgbFace[:3], alpha=alpha)
        if fill or stroke:
            self.canvas.drawPath(shape, stroke=int(stroke), fill=int(fill))
        if gc.get_hatch():
            self._hatch(gc, path, transform)
        self.canvas.restoreState()

    def draw_text(
        self, gc: GraphicsContextBase, x: float, y: float, s: str, prop: FontProperties, angle: float,
        ismath: Any = False, mtext: Any = None,
    ) -> None:  # fmt: skip
        """Write a line of text as text."""
        self.canvas.saveState()
        red, green, blue = gc.get_rgb()[:3]
        self.canvas.setFillColorRGB(red, green, blue, alpha=gc.get_alpha())
        self.canvas.translate(x, y)
        self.canvas.rotate(angle)
        self.canvas.setFont(BOLD if prop.get_weight() in ("bold", 700) else PLAIN, prop.get_size_in_points())
        self.canvas.drawString(0.0, 0.0, s)
        self.canvas.restoreState()

    def draw_image(self, gc: GraphicsContextBase, x: float, y: float, im: Any, transform: Any = None) -> None:
        """Refuse: the charts hold no images."""
        raise TypeError("A chart of a tear sheet is lines and text; an image cannot be painted on its PDF.")

    def _shape(self, path: Path, transform: Transform, clip: Any) -> Any:
        """Give a path as reportlab draws it; lines beyond `clip` are cut."""
        shape = self.canvas.beginPath()
        for points, code in path.iter_segments(transform, clip=clip, simplify=False, curves=True):
            x, y = float(points[-2]), float(points[-1])
            if code == Path.MOVETO:
                shape.moveTo(x, y)
                at = (x, y)
            elif code == Path.LINETO:
                shape.lineTo(x, y)
                at = (x, y)
            elif code == Path.CURVE3:
                a, b = float(points[0]), float(points[1])
                first = (at[0] + 2.0 * (a - at[0]) / 3.0, at[1] + 2.0 * (b - at[1]) / 3.0)
                shape.curveTo(*first, x + 2.0 * (a - x) / 3.0, y + 2.0 * (b - y) / 3.0, x, y)
                at = (x, y)
            elif code == Path.CURVE4:
                shape.curveTo(*(float(value) for value in points))
                at = (x, y)
            elif code == Path.CLOSEPOLY:
                shape.close()
        return shape

    def _pen(self, gc: GraphicsContextBase) -> None:
        rgb = gc.get_rgb()
        self.canvas.setStrokeColorRGB(*rgb[:3], alpha=gc.get_alpha() if gc.get_forced_alpha() else rgb[3])
        self.canvas.setLineWidth(gc.get_linewidth())
        self.canvas.setLineCap({"butt": 0, "round": 1, "projecting": 2}[str(gc.get_capstyle())])
        self.canvas.setLineJoin({"miter": 0, "round": 1, "bevel": 2}[str(gc.get_joinstyle())])
        offset, dashes = gc.get_dashes()
        if dashes is not None:
            self.canvas.setDash(np.asarray(dashes, np.float64).tolist(), offset)

    def _clip(self, gc: GraphicsContextBase) -> None:
        box = gc.get_clip_rectangle()
        if box is not None:
            shape = self.canvas.beginPath()
            shape.rect(box.x0, box.y0, box.width, box.height)
            self.canvas.clipPath(shape, stroke=0, fill=0)
        path: Any
        path, transform = gc.get_clip_path()
        if path is not None and transform is not None:
            self.canvas.clipPath(self._shape(path, transform, None), stroke=0, fill=0)

    def _hatch(self, gc: GraphicsContextBase, path: Path, transform: Transform) -> None:
        """Tile the pattern over the box of a path, clipped to the path."""
        from matplotlib.transforms import Affine2D

        tile, box = gc.get_hatch_path(), path.get_extents(transform)
        if tile is None or box.width <= 0.0 or box.height <= 0.0:
            return
        self.canvas.clipPath(self._shape(path, transform, None), stroke=0, fill=0)
        self.canvas.setStrokeColorRGB(*gc.get_hatch_color()[:3])
        self.canvas.setLineWidth(gc.get_hatch_linewidth())
        for i in range(math.floor(box.x0 / HATCH_TILE), math.ceil(box.x1 / HATCH_TILE)):
            for j in range(math.floor(box.y0 / HATCH_TILE), math.ceil(box.y1 / HATCH_TILE)):
                place = Affine2D().scale(HATCH_TILE).translate(i * HATCH_TILE, j * HATCH_TILE)
                self.canvas.drawPath(self._shape(tile, place, None), stroke=1, fill=0)
