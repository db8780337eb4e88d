"""Draws the palms in an image: ``python -m examples.blazepalm.detect IMAGE --model MODEL.keras --out OUT.png``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from .detection import Detections, detect

BOX, POINT = (255, 80, 0), (0, 200, 120)


def letterbox(image: Image.Image, size: int) -> tuple[np.ndarray, float, tuple[int, int]]:
    """The image in the middle of a black square, as float32 in [0, 1]; its scale, and the margin (left, top)."""
    scale = size / max(image.size)
    small = image.resize((max(round(image.width * scale), 1), max(round(image.height * scale), 1)))
    left, top = (size - small.width) // 2, (size - small.height) // 2
    square = Image.new("RGB", (size, size))
    square.paste(small, (left, top))
    return np.asarray(square, np.float32) / 255, scale, (left, top)


def draw(image: Image.Image, found: Detections, size: int, scale: float, margin: tuple[int, int]) -> Image.Image:
    """A copy of the image with a box and seven keypoints per palm."""
    made = image.copy()
    pen = ImageDraw.Draw(made)
    width = max(round(max(image.size) / 300), 1)
    offset = np.array(margin)
    for box, points, score in zip(found.boxes, found.keypoints, found.scores, strict=True):
        corners = (box.reshape(2, 2)[:, ::-1] * size - offset) / scale
        pen.rectangle([tuple(corner) for corner in corners], outline=BOX, width=width)
        pen.text(tuple(corners[0]), f"{score:.2f}", fill=BOX)
        for x, y in (points * size - offset) / scale:
            pen.ellipse([x - 2 * width, y - 2 * width, x + 2 * width, y + 2 * width], fill=POINT)
    return made


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path)
    parser.add_argument("--model", type=Path, default=Path("build/demo/palm_detection_full.keras"))
    parser.add_argument("--out", type=Path, default=Path("palms.png"))
    parser.add_argument("--threshold", type=float, default=0.5)
    given = parser.parse_args(arguments)
    if not given.model.is_file() or not given.image.is_file():
        missing = given.image if given.model.is_file() else given.model
        print(f"detect: there is no {missing}; `make demo` writes the model", file=sys.stderr)
        return 2
    import keras

    model = keras.models.load_model(given.model)
    size = model.inputs[0].shape[1]
    image = ImageOps.exif_transpose(Image.open(given.image)).convert("RGB")
    pixels, scale, margin = letterbox(image, size)
    raw, logits = (np.asarray(output)[0] for output in model(pixels[None], training=False))
    found = detect(raw, logits, size, threshold=given.threshold)
    draw(image, found, size, scale, margin).save(given.out)
    print(f"{len(found.scores)} palms; wrote {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
