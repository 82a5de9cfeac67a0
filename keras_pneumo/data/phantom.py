"""Synthetic chest radiographs for demos, tests and teaching.

A phantom is drawn, not learnt: a sum of smooth attenuation maps (soft tissue, air, bone, heart)
that is exposed like a film. Frontal view, as the radiologist sees it: the patient's left side is
on the right of the image. Coordinates run over [-1, 1] in both axes, y downwards.

Phantoms look like radiographs, but carry no medical knowledge. A score on them says that code
runs and that a model can learn, nothing about pneumonia.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from keras_pneumo.errors import SettingsError
from keras_pneumo.files import new_directory

Aetiology = Literal["none", "bacteria", "virus"]
FloatMap = NDArray[np.floating]  # float32 throughout, which numpy's own types cannot follow

AETIOLOGIES: tuple[Aetiology, ...] = ("none", "bacteria", "virus")
JPEG_COMMENT = "synthetic phantom, keras-pneumo"
LABEL = "SYNTHETIC"
MIN_SIDE = 64  # below this the label is not legible

# NORMAL share of each split, as in the Kaggle collection: 1 : 2.5 in train, 1 : 1.6 in test.
_NORMAL_SHARE = {"train": 2 / 7, "val": 1 / 2, "test": 5 / 13}
_BACTERIA_SHARE = 2 / 3
_LOBES = ((0.36, -0.36), (0.44, -0.04), (0.47, 0.24))  # upper, middle, lower: (|x|, y)


@dataclass(frozen=True)
class Anatomy:
    """One synthetic patient: all that repeated images of the same child share.

    Lengths are fractions of half the image side, angles are radians. Draw one with
    ``draw_anatomy``.
    """

    chest_width: float  # half width of the rib cage at its widest
    apex: float  # y of the top of the lungs
    diaphragm: float  # y of the top of the right dome
    dome_step: float  # how much lower the left dome is
    body_width: float  # half width of the trunk
    shoulder_width: float
    arm_angle: float  # 0 is horizontal, positive hangs down
    heart_size: float
    heart_tilt: float
    mediastinum_width: float
    spine_curve: float
    rib_spacing: float
    rib_phase: float  # where the first rib lies, in rib spacings
    rib_drop: float  # how far a rib falls between spine and side
    bone_density: float
    clavicle: float  # y of the inner ends of the clavicles
    chin: float  # how far the head reaches into the image
    stomach_air: float
    aeration: float  # how dark healthy lungs are
    vessel_density: float
    rotation: float
    texture_seed: int  # vessels, and the place and shape of an infection


class _Frame(NamedTuple):
    """Where each pixel lies on the patient, and how to lay a texture there."""

    x: FloatMap
    y: FloatMap
    affine: tuple[float, float, float, float, float, float]  # pixel centre -> (x, y)
    pixel: float  # side of a pixel in patient coordinates


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw a synthetic patient.

    Args:
        rng: The source of all randomness.

    Returns:
        The patient, to be passed to ``draw_phantom`` once for each image.

    Examples:
        >>> draw_anatomy(np.random.default_rng(0)) == draw_anatomy(np.random.default_rng(0))
        True
    """
    uniform = rng.uniform
    chest_width = uniform(0.64, 0.76)
    return Anatomy(
        chest_width=chest_width,
        apex=uniform(-0.80, -0.68),
        diaphragm=uniform(0.34, 0.52),
        dome_step=uniform(0.0, 0.10),
        body_width=chest_width + uniform(0.08, 0.20),
        shoulder_width=uniform(0.80, 1.0),
        arm_angle=uniform(-0.9, 1.1),
        heart_size=uniform(0.86, 1.14),
        heart_tilt=uniform(0.35, 0.75),
        mediastinum_width=uniform(0.10, 0.15),
        spine_curve=uniform(-0.03, 0.03),
        rib_spacing=uniform(0.145, 0.175),
        rib_phase=uniform(-0.3, 0.3),
        rib_drop=uniform(0.20, 0.32),
        bone_density=uniform(0.8, 1.2),
        clavicle=uniform(-0.66, -0.56),
        chin=max(0.0, uniform(-0.15, 0.25)),
        stomach_air=max(0.0, uniform(-0.15, 0.25)),
        aeration=uniform(0.58, 0.74),
        vessel_density=uniform(0.7, 1.3),
        rotation=math.radians(uniform(-4, 4)),
        texture_seed=int(rng.integers(2**31)),
    )


def draw_phantom(
    anatomy: Anatomy,
    aetiology: Aetiology,
    rng: np.random.Generator,
    *,
    image_size: tuple[int, int] = (256, 256),
) -> NDArray[np.uint8]:
    """Draw one frontal chest radiograph of a synthetic patient.

    ``"none"`` is a clear chest, ``"bacteria"`` a dense consolidation with ragged borders in a lobe
    of one lung, ``"virus"`` patchy and net-like opacities in both. Opacities replace air, so they
    hide the borders of heart and diaphragm that they touch. Every image is exposed to a brightness
    and contrast drawn without regard to ``aetiology``: its mean tells nothing of the class.

    Args:
        anatomy: The patient. Repeated images differ a little in pose, and freely in exposure.
        aetiology: One of ``"none"``, ``"bacteria"``, ``"virus"``.
        rng: The source of pose, exposure, severity and noise.
        image_size: (height, width) in pixels, each at least 64.

    Returns:
        uint8 in [0, 255], shape (height, width), with "SYNTHETIC" burnt into the lower left edge.

    Raises:
        SettingsError: ``aetiology`` is unknown or ``image_size`` too small.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> draw_phantom(draw_anatomy(rng), "virus", rng, image_size=(96, 128)).shape
        (96, 128)
    """
    if aetiology not in AETIOLOGIES:
        raise SettingsError(f"`aetiology` must be one of {AETIOLOGIES}. Received: {aetiology!r}.")
    if min(image_size) < MIN_SIDE:
        raise SettingsError(
            f"`image_size` must be (height, width) of at least {MIN_SIDE} pixels each. "
            f"Received: {image_size}. Draw larger phantoms and resize them."
        )
    frame = _pose(anatomy, rng, image_size)
    density = _attenuation(anatomy, aetiology, rng, frame)
    return _burn_label(_expose(density, rng))


def write_phantom_collection(
    directory: str | Path,
    *,
    n_images: int = 280,
    image_size: tuple[int, int] = (256, 256),
    seed: int = 0,
) -> Path:
    """Write a collection of phantoms in the layout and naming of the Kaggle one (v2).

    - ``train``: ``n_images``, 1 NORMAL to 2.5 PNEUMONIA (80 and 200 of the default 280);
    - ``val``: 16, as many of each class;
    - ``test``: ``n_images // 2``, 1 NORMAL to 1.6 PNEUMONIA (54 and 86).

    Two of three PNEUMONIA images are bacterial. Some patients have several images. No patient
    number is in two splits, nor in two series: ``person23`` is one child whatever follows, and so
    is number 115 of ``IM-0115`` and ``NORMAL2-IM-0115``. The same arguments give the same bytes
    (with the same releases of numpy and Pillow).

    Args:
        directory: The folder to create. It appears whole or not at all.
        n_images: Number of images in train, at least 14.
        image_size: (height, width) in pixels, each at least 64.
        seed: Seed of the whole collection.

    Returns:
        The folder: ``train``, ``val`` and ``test``, each with ``NORMAL`` and ``PNEUMONIA``, full
        of grayscale JPEGs, beside a ``README.txt``.

    Raises:
        SettingsError: ``n_images`` or ``image_size`` is too small.
        OutputError: ``directory`` has contents.

    Examples:
        >>> import tempfile
        >>> folder = write_phantom_collection(
        ...     Path(tempfile.mkdtemp()) / "phantoms", n_images=14, image_size=(64, 64)
        ... )
        >>> len(list(folder.glob("train/PNEUMONIA/*.jpeg")))
        10
    """
    if n_images < 14:
        raise SettingsError(f"`n_images` must be at least 14. Received: {n_images}.")
    directory = Path(directory)
    with new_directory(directory) as folder:
        first_patient = 1
        for split, total in {"train": n_images, "val": 16, "test": n_images // 2}.items():
            n_normal = round(_NORMAL_SHARE[split] * total)
            n_bacteria = round(_BACTERIA_SHARE * (total - n_normal))
            counts: dict[Aetiology, int] = {
                "none": n_normal,
                "bacteria": n_bacteria,
                "virus": total - n_normal - n_bacteria,
            }
            for aetiology, count in counts.items():
                first_patient = _write_patients(
                    folder / split, aetiology, count, first_patient, image_size, seed
                )
        (folder / "README.txt").write_text(_readme(n_images, image_size, seed), encoding="utf-8")
    return directory


def _write_patients(
    folder: Path,
    aetiology: Aetiology,
    n_images: int,
    first_patient: int,
    image_size: tuple[int, int],
    seed: int,
) -> int:
    """Write ``n_images`` of one aetiology and return the first patient number still free."""
    class_folder = folder / ("NORMAL" if aetiology == "none" else "PNEUMONIA")
    class_folder.mkdir(parents=True, exist_ok=True)
    patient, written = first_patient, 0
    while written < n_images:
        rng = np.random.default_rng([seed, patient])
        anatomy = draw_anatomy(rng)
        series = "IM" if rng.random() < 0.5 else "NORMAL2-IM"
        repeats = min(int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15])), n_images - written)
        for repeat in range(1, repeats + 1):
            written += 1
            name = (
                f"{series}-{patient:04d}-{repeat:04d}.jpeg"
                if aetiology == "none"
                else f"person{patient}_{aetiology}_{written}.jpeg"
            )
            pixels = draw_phantom(anatomy, aetiology, rng, image_size=image_size)
            Image.fromarray(pixels).save(class_folder / name, quality=90, comment=JPEG_COMMENT)
        patient += 1
    return patient


def _readme(n_images: int, image_size: tuple[int, int], seed: int) -> str:
    return f"""SYNTHETIC CHEST RADIOGRAPHS

Every image here was drawn by a computer program (keras-pneumo). None shows a real person, and
none may be used for a medical purpose. Layout and file names follow the Kaggle collection
"Chest X-Ray Images (Pneumonia)" so that the same code reads both.

Drawn with: write_phantom_collection(n_images={n_images}, image_size={image_size}, seed={seed})
"""


def _pose(anatomy: Anatomy, rng: np.random.Generator, image_size: tuple[int, int]) -> _Frame:
    height, width = image_size
    angle = anatomy.rotation + math.radians(rng.uniform(-2, 2))
    zoom = rng.uniform(0.95, 1.05)
    shift_x, shift_y = rng.uniform(-0.04, 0.04), rng.uniform(-0.04, 0.04)
    cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
    a, b = 2 * cos / width, -2 * sin / height
    d, e = 2 * sin / width, 2 * cos / height
    c, f = shift_x - cos + sin, shift_y - sin - cos
    columns, rows = _pixel_centres(image_size)
    x, y = a * columns + b * rows + c, d * columns + e * rows + f
    return _Frame(x, y, (a, b, c, d, e, f), 2 * zoom / min(image_size))


@lru_cache(maxsize=8)
def _pixel_centres(image_size: tuple[int, int]) -> tuple[FloatMap, FloatMap]:
    height, width = image_size
    columns = np.arange(width, dtype=np.float32)[None, :] + 0.5
    rows = np.arange(height, dtype=np.float32)[:, None] + 0.5
    return columns, rows


def _attenuation(
    anatomy: Anatomy, aetiology: Aetiology, rng: np.random.Generator, frame: _Frame
) -> FloatMap:
    """Sum what the beam passes through: 0 is free air, about 1 a chest without lungs."""
    texture = np.random.default_rng(anatomy.texture_seed)
    x, y = frame.x - anatomy.spine_curve * np.cos(2.5 * frame.y), frame.y
    side, left = np.abs(x), x > 0
    tissue = _soft_tissue(anatomy, frame.x, y)
    heart = _mediastinum(anatomy, x, y)
    lungs, below = _lungs(anatomy, side, left, y, frame.pixel)
    vessels = anatomy.vessel_density * _vessels(texture, side, left, y)
    air = anatomy.aeration * lungs * (1 - 0.8 * heart) * (1 - 0.35 * vessels)
    if aetiology == "bacteria":
        air = air * (1 - _consolidation(texture, rng, frame))
    elif aetiology == "virus":
        air = air * (1 - _interstitial(texture, rng, frame))
    bones = (
        _ribs(anatomy, side, y, frame.pixel) * (1 - 0.45 * below)
        + _spine(anatomy, x, y)
        + _clavicles(anatomy, side, y) * np.minimum(2 * tissue, 1)
    )
    stomach = _rise(1 - _length((x - 0.30) / 0.17, (y - anatomy.diaphragm - 0.25) / 0.11), 0.15)
    return (
        tissue
        + below * (0.12 - anatomy.stomach_air * stomach)
        + 0.14 * heart
        + 0.36 * anatomy.bone_density * bones
        - _airways(x, y)
        - air
    )


def _soft_tissue(anatomy: Anatomy, x: FloatMap, y: FloatMap) -> FloatMap:
    neck, trunk, shoulder = 0.30, anatomy.body_width, anatomy.shoulder_width
    half_width = (
        neck
        + (shoulder - neck) * _rise(y + 0.80, 0.07)
        - (shoulder - trunk) * _rise(y + 0.38, 0.12)
    )
    body = _dome(np.abs(x) / half_width)
    reach_x = math.cos(anatomy.arm_angle)
    reach_y = math.sin(anatomy.arm_angle)
    across = _distance(np.abs(x), y, (0.80, -0.58), (0.80 + reach_x, -0.58 + reach_y))
    arm = 0.75 * _dome(across / 0.2) + 0.22 * anatomy.bone_density * _tube(across, 0.055, 0.012)
    head = 1.2 * _dome(_length(x / 0.36, (y + 1.3 - anatomy.chin) / 0.34))
    # Fourth powers: where two overlap, the thicker one hides the outline of the other.
    return np.sqrt(np.sqrt(body**4 + arm**4 + head**4))


def _mediastinum(anatomy: Anatomy, x: FloatMap, y: FloatMap) -> FloatMap:
    """Silhouette of heart, great vessels and thymus, in [0, 1]."""
    size, top = anatomy.heart_size, anatomy.diaphragm
    cos, sin = math.cos(anatomy.heart_tilt), math.sin(anatomy.heart_tilt)
    hx, hy = x - 0.13, y - (top - 0.15)
    ventricle = _length((cos * hx + sin * hy) / 0.42, (cos * hy - sin * hx) / 0.31) / size
    atrium = _length((x + 0.06) / 0.19, (y - (top - 0.16)) / 0.27) / size
    aorta = _length((x - 0.075) / 0.10, (y + 0.30) / 0.16)
    # The left border slopes from the aorta to the heart, over the pulmonary trunk.
    slope = anatomy.mediastinum_width + 0.14 * _rise(y + 0.06, 0.20) * _rise(x, 0.02)
    width = slope * (1 + 0.30 * _rise(-y - 0.55, 0.12))
    outside = (
        _rise(ventricle - 1, 0.05)
        * _rise(atrium - 1, 0.07)
        * _rise(aorta - 1, 0.16)
        * _rise(np.abs(x) - width, 0.016)
    )
    return 1 - outside


def _lungs(
    anatomy: Anatomy, side: FloatMap, left: NDArray[np.bool_], y: FloatMap, pixel: float
) -> tuple[FloatMap, FloatMap]:
    """Give the depth of air in both lungs and the region below the diaphragm, each in [0, 1]."""
    ridge = 0.27
    dx = (side - ridge) / _choose(side > ridge, anatomy.chest_width - ridge, ridge - 0.02)
    dy = (y - 0.42) / _choose(y < 0.42, 0.42 - anatomy.apex, 1.3)
    radius = np.sqrt(dx * dx + dy * dy)
    off_centre = side - 0.34
    dome = _choose(left, anatomy.diaphragm + anatomy.dome_step, anatomy.diaphragm)
    dome += off_centre**2 * _choose(off_centre > 0, 1.9, 0.7)
    below = _rise(y - dome, max(0.008, pixel))
    depth = _rise(1 - radius, 0.025) * (0.80 + 0.20 * _dome(radius))
    return depth * (1 - below), below * _rise(1.02 - radius, 0.05)


def _ribs(anatomy: Anatomy, side: FloatMap, y: FloatMap, pixel: float) -> FloatMap:
    """Draw all ribs at once: a rib is where the rib number of a pixel is nearly whole."""
    top = anatomy.apex - 0.06
    dy = np.minimum((y - 0.42) / (0.42 - top), 0.25 * (y - 0.42))
    half_width = 0.27 + (anatomy.chest_width - 0.245) * np.sqrt(np.maximum(1 - dy * dy, 0))
    across = side / half_width
    arch = np.sqrt(np.maximum(1 - across * across, 0))
    spacing, drop = anatomy.rib_spacing, anatomy.rib_drop
    blur = max(0.05, 0.7 * pixel / spacing)
    in_cage = _rise(1 - across, 0.015)

    def bars(number: FloatMap, half_width: float, last: float) -> FloatMap:
        distance = np.abs(number - np.round(number))
        return (
            _tube(distance, half_width, blur)
            * _rise(number + 0.5, 0.1)
            * _rise(last + 0.5 - number, 0.1)
        )

    start = y - top - 0.06 - anatomy.rib_phase * spacing
    posterior = bars((start - drop * (1 - arch)) / spacing, 0.20, 9)
    anterior = bars((start - drop - 0.9 * drop * arch) / spacing, 0.24, 6)
    wall = _rise(across - 0.955, 0.012)
    return in_cage * (
        0.62 * posterior * _rise(side - 0.05, 0.02)
        + 0.42 * anterior * _rise(across - 0.45, 0.05)
        + 0.35 * wall * _rise(y - top, 0.1)
    )


def _spine(anatomy: Anatomy, x: FloatMap, y: FloatMap) -> FloatMap:
    """Vertebral bodies with disc spaces between them and a pair of pedicles in each."""
    side = np.abs(x)
    level = np.cos(2 * math.pi * y / (0.80 * anatomy.rib_spacing))
    waist = 0.078 - 0.008 * level
    bodies = _rise(waist - side, 0.008) * (0.55 + 0.40 * _rise(level + 0.55, 0.25))
    pedicles = np.exp(-(((side - 0.046) / 0.014) ** 2)) * _rise(level - 0.45, 0.2)
    return bodies + 0.35 * pedicles


def _clavicles(anatomy: Anatomy, side: FloatMap, y: FloatMap) -> FloatMap:
    along = (side - 0.08) / 0.62
    centre = anatomy.clavicle - 0.15 * along - 0.035 * np.sin(2 * math.pi * along)
    ends = _rise(along, 0.012) * _rise(1 - along, 0.03)
    return 0.95 * ends * _tube(np.abs(y - centre), 0.026, 0.008)


def _airways(x: FloatMap, y: FloatMap) -> FloatMap:
    carina = -0.26
    trachea = _rise(0.038 - np.abs(x + 0.01), 0.012) * _rise(carina - y, 0.02)
    across = _distance(np.abs(x + 0.01), y, (0.0, carina), (0.15, carina + 0.14))
    return 0.16 * np.maximum(trachea, 0.7 * _rise(0.026 - across, 0.012))


def _vessels(
    texture: np.random.Generator, side: FloatMap, left: NDArray[np.bool_], y: FloatMap
) -> FloatMap:
    """Branches that run outwards from each hilum: ridges of a noise in polar coordinates."""
    rows, columns = 96, 512
    branches = np.zeros((2, rows, columns), np.float32)
    for lung in branches:
        for cells, thickness in (((5, 18), 0.22), ((8, 36), 0.28)):
            noise = _noise(texture, cells, (rows, columns))
            lung += np.maximum(1 - np.abs(noise) / thickness, 0)
    dx, dy = side - 0.14, y + 0.06
    radius = _length(dx, dy)
    row = np.minimum(radius * rows, rows - 1).astype(np.intp) + rows * left
    column = ((np.arctan2(dy, dx) / (2 * math.pi) + 0.5) * (columns - 1)).astype(np.intp)
    return branches.ravel().take(row * columns + column) * np.exp(-radius / 0.30)


def _consolidation(
    texture: np.random.Generator, rng: np.random.Generator, frame: _Frame
) -> FloatMap:
    """Air lost in one lobe, in [0, 1]: dense within, ragged at the border."""
    side = 1 if texture.random() < 0.5 else -1
    lobe_x, lobe_y = _LOBES[texture.integers(len(_LOBES))]
    reach_x, reach_y = texture.uniform(0.26, 0.34), texture.uniform(0.25, 0.34)
    shape = _lay(0.26 * _noise(texture, (9, 9)) + 0.13 * _noise(texture, (22, 22)), frame)
    radius = _length((frame.x - side * lobe_x) / reach_x, (frame.y - lobe_y) / reach_y)
    return rng.uniform(0.75, 0.95) * _rise(1 - radius + shape, 0.18)


def _interstitial(
    texture: np.random.Generator, rng: np.random.Generator, frame: _Frame
) -> FloatMap:
    """Air lost in both lungs, in [0, 1]: soft patches and a fine net, strongest near the hila."""
    patches = _rise(_noise(texture, (11, 11)) + 0.1, 0.25)
    net = np.maximum(1 - 2.5 * np.abs(_noise(texture, (20, 20))), 0)
    net += np.maximum(1 - 2.0 * np.abs(_noise(texture, (34, 34))), 0)
    loss = _lay(0.15 + 0.45 * patches + 0.25 * net, frame)
    near_hila = np.exp(-((np.abs(frame.x) - 0.2) ** 2) / 0.16 - (frame.y - 0.02) ** 2 / 0.25)
    return np.minimum(rng.uniform(0.75, 1.0) * near_hila * loss, 0.95)


def _expose(density: FloatMap, rng: np.random.Generator) -> FloatMap:
    """Turn attenuation into grey levels in [0, 255] with noise, as an automatic exposure does.

    Mean and contrast of the image are set to values drawn for it. Without this an opacity would
    brighten the whole image, and a rule on the mean would find it.
    """
    film = 1 - np.exp(-rng.uniform(0.7, 1.1) * np.maximum(density, 0))
    film **= rng.uniform(0.9, 1.3)
    film = (film - film.mean()) / film.std()
    film = rng.uniform(0.40, 0.62) + rng.uniform(0.16, 0.23) * film
    film += rng.uniform(0.008, 0.02) * rng.standard_normal(film.shape, dtype=np.float32)
    return np.clip(255 * film, 0, 255)


def _burn_label(grey: FloatMap) -> NDArray[np.uint8]:
    text, halo = _label(grey.shape)
    return np.round(grey * (1 - halo) + 225 * text).astype(np.uint8)


@lru_cache(maxsize=8)
def _label(image_size: tuple[int, int]) -> tuple[FloatMap, FloatMap]:
    """Draw the label upwards along the left edge, where most images show no patient."""
    height, width = image_size
    font = ImageFont.load_default(size=max(8, round(0.036 * min(image_size))))
    layers = []
    for stroke in (0, 1):
        lying = Image.new("L", (height, width))
        ImageDraw.Draw(lying).text((4, 2), LABEL, fill=255, font=font, stroke_width=stroke)
        layers.append(np.asarray(lying.transpose(Image.Transpose.ROTATE_90), np.float32) / 255)
    return layers[0], np.maximum(layers[0], layers[1])


def _length(x: FloatMap, y: FloatMap) -> FloatMap:
    return np.sqrt(x * x + y * y)  # several times as fast as np.hypot


def _choose(condition: NDArray[np.bool_], yes: float, no: float) -> FloatMap:
    return np.where(condition, np.float32(yes), np.float32(no))


def _rise(distance: FloatMap, width: float) -> FloatMap:
    """Go smoothly from 0 to 1 as ``distance`` crosses 0, between about -1.7 and +1.7 ``width``."""
    step = np.clip(0.5 + (0.3 / width) * distance, 0, 1)
    return step * step * (3 - 2 * step)


def _dome(radius: FloatMap) -> FloatMap:
    """Thickness of a rounded body: 1 in the middle, 0 from ``radius`` 1 outwards."""
    return np.sqrt(np.maximum(1 - radius * radius, 0))


def _tube(distance: FloatMap, half_width: float, blur: float) -> FloatMap:
    """Bone seen from the side: its cortex makes the borders brighter than the middle."""
    inside = np.minimum(distance / half_width, 1)
    return _rise(half_width - distance, blur) * (0.6 + 0.4 * inside * inside)


def _distance(
    x: FloatMap, y: FloatMap, start: tuple[float, float], end: tuple[float, float]
) -> FloatMap:
    """Distance to a segment."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    px, py = x - start[0], y - start[1]
    along = np.clip((px * dx + py * dy) / (dx * dx + dy * dy), 0, 1)
    return _length(px - along * dx, py - along * dy)


def _noise(
    rng: np.random.Generator, cells: tuple[int, int], size: tuple[int, int] = (256, 256)
) -> FloatMap:
    """Smooth noise of about unit variance, shape ``size``."""
    grid = Image.fromarray(rng.standard_normal(cells, dtype=np.float32))
    return np.asarray(grid.resize(size[::-1], Image.Resampling.BICUBIC))


def _lay(texture: FloatMap, frame: _Frame) -> FloatMap:
    """Lay a texture over [-1.3, 1.3] of the patient, beyond which no pose reaches."""
    side = texture.shape[0]
    a, b, c, d, e, f = (side / 2.6 * value for value in frame.affine)
    height, width = frame.x.shape
    posed = Image.fromarray(texture).transform(
        (width, height),
        Image.Transform.AFFINE,
        (a, b, c + side / 2, d, e, f + side / 2),
        Image.Resampling.BILINEAR,
    )
    return np.asarray(posed)
