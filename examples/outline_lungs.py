"""Outline the lungs on X-rays: `python examples/outline_lungs.py PICTURE IMAGE...`."""

import sys

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from keras_pneumo.lungs.segment import segment_lungs


def main(picture: str, files: list[str]) -> Figure:
    figure = Figure(figsize=(3 * len(files), 3.4), layout="constrained")
    places = figure.subplots(1, len(files), squeeze=False)[0]
    for axes, found in zip(places, segment_lungs(files), strict=True):
        axes.set_axis_off()
        if found.error:
            axes.set_title(found.error, wrap=True, fontsize=8)
            continue
        with Image.open(found.file) as opened:
            width, height = opened.size
            axes.imshow(opened.convert("L"), cmap="gray", extent=(0, width, height, 0))
        # The mask is of the image stretched to a square, so its sides are the image's.
        sides = (0, width, 0, height)
        axes.contour(found.mask, [0.5], extent=sides, colors="#2a78b5", linewidths=2)
        if found.box:
            left, top, right, bottom = found.box
            corner, size = (left * width, top * height), (right - left, bottom - top)
            axes.add_patch(
                Rectangle(corner, size[0] * width, size[1] * height, fill=False, color="#d1495b")
            )
        axes.set_title("; ".join(found.doubts) or "plausible", wrap=True, fontsize=8)
    figure.savefig(picture, dpi=120)
    return figure


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
