"""PneumoniaClassifier: what every model of the family can do."""

import json
import shutil
import tempfile
import warnings
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sized
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

import keras_pneumo
from keras_pneumo import image
from keras_pneumo.data.image_files import image_files
from keras_pneumo.errors import SettingsError, WeightsError
from keras_pneumo.files import new_directory
from keras_pneumo.models.compiled import check_batch_size, compiled, jit_compile, slices
from keras_pneumo.models.freezing import top_layers
from keras_pneumo.models.weights import load_backbone
from keras_pneumo.pretrained.description import DESCRIPTION_FILE, WEIGHTS_FILE, Description
from keras_pneumo.pretrained.resolve import find_model

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo

    from keras_pneumo.evaluation.report import EvaluationReport


@dataclass(frozen=True)
class Trainable:
    """What trains after ``fine_tune``.

    Attributes:
        layers: Names of the layers with weights that train, backbone first, head last.
        parameters: Number of scalar weights that train.
        total_parameters: Number of scalar weights of the model.
    """

    layers: tuple[str, ...]
    parameters: int
    total_parameters: int

    def __str__(self) -> str:
        """One line for a person."""
        first, count = self.layers[0], len(self.layers)
        where = f"in {first}" if count == 1 else f"in {count} layers ({first} to {self.layers[-1]})"
        return f"{self.parameters:,} of {self.total_parameters:,} parameters train, {where}"


class PneumoniaClassifier(keras.Model):
    """A functional Keras model: preprocessing, backbone, pooling, dropout, logit, sigmoid.

    The base of the family. A member states its ``stage_ends`` and builds its backbone and its
    preprocessing; see ``PneumoniaResNet50`` for the arguments.

    Attributes:
        backbone: The backbone, a functional Keras model without top.
        threshold: Operating threshold: an image whose probability is at least this is called
            PNEUMONIA. 0.5 until training chooses one.
        temperature: What the logit is divided by before the sigmoid, above 0, float32: 1 until
            training fits one. See ``keras_pneumo.evaluation.calibration``.
        metadata: Where the model comes from (training data, settings, how the threshold was
            chosen): plain JSON values, saved with the model.
    """

    stage_ends: ClassVar[dict[str, str]]
    preset: ClassVar[str | None] = None

    def __init__(
        self,
        *,
        weights: str | Path | None,
        image_size: tuple[int, int],
        resize: str,
        dropout: float,
        dtype: Any,
        name: str,
    ) -> None:
        image_size, checked_resize = image.check_size(image_size), image.check_resize(resize)
        if not 0.0 <= dropout < 1.0:
            raise SettingsError(f"`dropout` must be in [0, 1). Received: {dropout!r}.")

        # === Layers ===
        backbone = self._backbone_with_weights(weights, (*image_size, 3), dtype)
        inputs = keras.Input((*image_size, 3), name="image", dtype="float32")
        # The head computes in float32 whatever the backbone's policy: probabilities near 0 and 1
        # would be rounded away in half precision.
        pooling = keras.layers.GlobalAveragePooling2D(name="features", dtype="float32")

        # === Functional model ===
        features = pooling(backbone(self.preprocess(inputs)))
        x = keras.layers.Dropout(dropout, name="dropout", dtype="float32")(features)
        x = keras.layers.Dense(1, name="logit", dtype="float32")(x)
        # Its one weight is 1 / temperature: a built-in layer, so that the saved graph is calibrated
        # wherever it is opened.
        x = keras.layers.Dense(
            1,
            use_bias=False,
            kernel_initializer="ones",
            trainable=False,
            name="calibration",
            dtype="float32",
        )(x)
        outputs = keras.layers.Activation("sigmoid", name="probability", dtype="float32")(x)
        super().__init__(inputs=inputs, outputs=outputs, name=name)

        # === Config ===
        self.image_size = image_size
        self.resize = checked_resize
        self.dropout = dropout
        self.threshold = 0.5
        self.metadata = {}
        self.jit_compile = jit_compile()
        self._freeze(0, train_batch_norm=False)
        # Functions, since Keras would save a second model that it finds as an attribute.
        self._compute_features = compiled(keras.Model(inputs, features))
        self._compute_outputs = compiled(keras.Model(inputs, outputs))

    @property
    def backbone(self) -> keras.Model:
        """The backbone: a functional Keras model from preprocessed images to feature maps."""
        return next(layer for layer in self.layers if isinstance(layer, keras.Model))

    @property
    def temperature(self) -> float:
        """What the logit is divided by before the sigmoid."""
        return float(1 / self.get_layer("calibration").get_weights()[0].item())

    @temperature.setter
    def temperature(self, value: float) -> None:
        if not 0 < value < float("inf"):
            raise SettingsError(
                f"`temperature` must be a number above 0. Received: {value!r}. Fit one with "
                "`keras_pneumo.evaluation.calibration.fit_temperature`, or set 1 for none."
            )
        self.get_layer("calibration").set_weights([np.array([[1 / value]], "float32")])

    @property
    def metadata(self) -> dict[str, Any]:
        """Where the model comes from: a copy, set it whole to change it."""
        return dict(self._metadata)

    @metadata.setter
    def metadata(self, value: Mapping[str, Any]) -> None:
        # A read-only view, which Keras does not try to track as state of the model.
        self._metadata = MappingProxyType(json.loads(json.dumps(value)))

    @staticmethod
    @abstractmethod
    def build_backbone(weights: str | None, input_shape: tuple[int, int, int]) -> keras.Model:
        """Build the backbone without its top, with ``"imagenet"`` or random weights."""

    @staticmethod
    @abstractmethod
    def preprocess(images: Any) -> Any:
        """Bring RGB in [0, 255] to what the backbone expects, with built-in layers only."""

    @classmethod
    def _backbone_with_weights(
        cls, weights: str | Path | None, input_shape: tuple[int, int, int], dtype: Any
    ) -> keras.Model:
        global_policy = keras.config.dtype_policy()
        # keras.applications takes its policy from the global one only.
        keras.config.set_dtype_policy(dtype or global_policy)
        try:
            if weights != "imagenet":
                backbone = cls.build_backbone(None, input_shape)
            else:
                backbone = cls._download_backbone(input_shape)
        finally:
            keras.config.set_dtype_policy(global_policy)
        if weights not in (None, "imagenet"):
            load_backbone(backbone, cls.stage_ends, str(weights))
        return backbone

    @classmethod
    def _download_backbone(cls, input_shape: tuple[int, int, int]) -> keras.Model:
        try:
            return cls.build_backbone("imagenet", input_shape)
        except Exception as error:  # keras.utils.get_file raises a bare Exception when offline
            raise WeightsError(
                "`weights='imagenet'` needs the ImageNet weights that Keras downloads once, and "
                f"they cannot be had here: {error}. Connect, or pass the path of a '.weights.h5' "
                "file, or None for random weights."
            ) from error

    def fine_tune(
        self,
        n_layers: int | str,
        learning_rate: float = 1e-5,
        *,
        train_batch_norm: bool = False,
        **compile_kwargs: Any,
    ) -> Trainable:
        """Make the top of the backbone trainable, and recompile.

        The head always trains. BatchNormalization stays frozen unless asked: its statistics come
        from ImageNet, and small batches of another domain would destroy them. Recompiling is part
        of it, since Keras ignores a change of ``trainable`` until then.

        Args:
            n_layers: How many of the backbone's layers train, counted as in
                ``backbone.layers[-n_layers:]``; a stage such as ``"conv5"``: it and all above it;
                or ``"all"``. 0 trains the head alone.
            learning_rate: Of Adam; low, since these weights are good already.
            train_batch_norm: Let the BatchNormalization layers among them train too.
            **compile_kwargs: Passed to ``compile``, in place of binary cross-entropy, ``accuracy``
                (at 0.5), ``auc`` (ROC) and XLA where it helps.

        Returns:
            What trains now.

        Raises:
            SettingsError: ``n_layers`` or ``learning_rate`` is out of range.

        Examples:
            >>> from keras_pneumo.models.resnet50 import PneumoniaResNet50
            >>> model = PneumoniaResNet50(weights=None, image_size=(32, 32))
            >>> print(model.fine_tune(10))
            4,461,569 of 23,589,774 parameters train, in 4 layers (conv5_block3_1_conv to logit)
        """
        if not learning_rate > 0:
            raise SettingsError(f"`learning_rate` must be above 0. Received: {learning_rate!r}.")
        self._freeze(n_layers, train_batch_norm)
        defaults = {
            "optimizer": keras.optimizers.Adam(learning_rate),
            "loss": keras.losses.BinaryCrossentropy(),
            "metrics": [
                keras.metrics.BinaryAccuracy(name="accuracy"),
                keras.metrics.AUC(name="auc"),
            ],
            "jit_compile": jit_compile(),
        }
        self.compile(**{**defaults, **compile_kwargs})
        layers = [*self.backbone.layers, *self.layers]
        return Trainable(
            layers=tuple(
                layer.name
                for layer in layers
                if layer.trainable_variables and not isinstance(layer, keras.Model)
            ),
            parameters=sum(int(np.prod(v.shape)) for v in self.trainable_variables),
            total_parameters=self.count_params(),
        )

    def _freeze(self, n_layers: int | str, train_batch_norm: bool) -> None:
        layers = self.backbone.layers
        names = top_layers([layer.name for layer in layers], self.stage_ends, n_layers)
        for layer in layers:
            is_batch_norm = isinstance(layer, keras.layers.BatchNormalization)
            layer.trainable = layer.name in names and (train_batch_norm or not is_batch_norm)
        self._fine_tuned = (n_layers, train_batch_norm)

    def extract_features(
        self, data: Any, batch_size: int | None = None, verbose: Any = 0
    ) -> np.ndarray:
        """Compute the backbone's pooled output, in inference mode.

        Files are read ahead while the model computes, a few at a time: what grows with their number
        is the result alone, for ResNet-50 by 8 KB an image.

        Args:
            data: Images as an array ``(n, height, width, 3)`` in [0, 255]; or a ``tf.data``
                pipeline of batches, alone or in tuples that start with the images; or the path of
                an image file, or of a folder for all images below it, in sorted order; or an
                iterable of such paths.
            batch_size: Images at a time; it does not change the result. By default 8 on a CPU,
                whose caches hold no more, and 32 elsewhere.
            verbose: Show a progress bar on stderr, if that is a terminal.

        Returns:
            float32 array ``(n, channels)``, 2,048 channels for ResNet-50, in the order of ``data``.

        Raises:
            ImageError: A file cannot be read.
            LayoutError: A folder holds no image, or cannot be listed.
            SettingsError: The images have another shape, or there are none.

        Examples:
            >>> from keras_pneumo.models.resnet50 import PneumoniaResNet50
            >>> model = PneumoniaResNet50(weights=None, image_size=(32, 32))
            >>> model.extract_features(np.zeros((3, 32, 32, 3), "uint8")).shape
            (3, 2048)
        """
        batch_size = check_batch_size(batch_size)
        images, total = self._images_of(data, batch_size)
        most = min(batch_size, total or batch_size)
        batches = (
            self._compute_features(batch, most) for some in images for batch in slices(some, most)
        )
        bar = {"unit": " images", "desc": "Features", "disable": None if verbose else True}
        found = np.fromiter(
            tqdm(chain.from_iterable(batches), total=total, **bar),
            dtype=np.dtype(("float32", self.backbone.output_shape[-1:])),
            count=-1 if total is None else total,
        )
        if not len(found):
            raise SettingsError(f"Images must be at least one. There is none in {data!r}.")
        return found

    def probabilities(self, images: Any, batch_size: int) -> np.ndarray:
        """Compute what ``predict`` does for one batch, without what that needs to begin.

        Args:
            images: Array ``(n, height, width, 3)`` in [0, 255], n up to ``batch_size``.
            batch_size: The most images that this is called with.

        Returns:
            float32 array ``(n,)``: the probabilities of PNEUMONIA, in [0, 1].
        """
        return self._compute_outputs(images, batch_size)[:, 0]

    def _images_of(self, data: Any, batch_size: int) -> tuple[Iterable[Any], int | None]:
        """Arrays of images, and how many images they hold if that is known."""
        if isinstance(data, tf.data.Dataset):
            batches = data.as_numpy_iterator()
            images = (batch[0] if isinstance(batch, tuple) else batch for batch in batches)
            return map(self._checked, images), None
        if hasattr(data, "shape"):
            return [self._checked(data)], len(data)
        files = image_files(data)
        read = partial(image.read, image_size=self.image_size, resize=self.resize)
        chunks = image.in_chunks(image.read_ahead(files, read), batch_size)
        return map(np.stack, chunks), len(files) if isinstance(files, Sized) else None

    def _checked(self, images: Any) -> Any:
        shape, expected = tuple(images.shape), (*self.image_size, 3)
        if len(shape) != 4 or shape[1:] != expected or not shape[0]:
            raise SettingsError(
                f"Images must be an array (n, {', '.join(map(str, expected))}) with n > 0 and "
                f"values in [0, 255]. Received shape {shape}. Resize them, or pass paths."
            )
        return images

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, and the state that a saved model needs back."""
        n_layers, train_batch_norm = self._fine_tuned
        return {
            **self._constructor_config(),
            "threshold": self.threshold,
            "metadata": self.metadata,
            "fine_tuned": {"n_layers": n_layers, "train_batch_norm": train_batch_norm},
        }

    def _constructor_config(self) -> dict[str, Any]:
        return {
            # A saved model brings its own weights.
            "weights": None,
            "image_size": list(self.image_size),
            "resize": self.resize,
            "dropout": self.dropout,
            "dtype": self.backbone.dtype_policy.name,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> Self:
        """Build the model that ``get_config`` describes, with random weights."""
        config = dict(config)
        threshold, metadata = config.pop("threshold", 0.5), config.pop("metadata", {})
        fine_tuned = config.pop("fine_tuned", {"n_layers": 0, "train_batch_norm": False})
        model = cls(**config)
        model.threshold, model.metadata = threshold, metadata
        model._freeze(**fine_tuned)
        return model

    def plain(self) -> keras.Model:
        """The same graph and weights as a plain functional model of built-in layers."""
        return keras.Model(self.input, self.output, name=self.name)

    def save_pretrained(self, directory: str | Path, *, overwrite: bool = False) -> Path:
        """Save for use with or without this package.

        The folder is an unzipped Keras model (``config.json``, ``metadata.json``,
        ``model.weights.h5``), which ``keras.saving.load_model(directory)`` opens where
        keras-pneumo is not installed, plus ``keras_pneumo.json``. The optimizer is not saved; use
        ``model.save("model.keras")`` to go on training later.

        Args:
            directory: The folder to make.
            overwrite: Replace it if it holds a model that was saved like this.

        Returns:
            The folder.

        Raises:
            OutputError: The folder is occupied, and ``overwrite`` is False or it is no model.
        """
        description = Description(
            class_name=type(self).__name__,
            config=self._constructor_config(),
            image_size=self.image_size,
            threshold=self.threshold,
            metadata=self.metadata,
        )
        with new_directory(directory, marker=DESCRIPTION_FILE, overwrite=overwrite) as temporary:
            keras.saving.save_model(self.plain(), temporary, zipped=False)
            # Some releases of Keras leave an empty folder for vocabularies and the like.
            shutil.rmtree(temporary / "assets", ignore_errors=True)
            description.write(temporary)
        return Path(directory)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path | None = None,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """Load a model by its name: a bundled preset, a folder, or a repository on the Hub.

        They are tried in this order. Of a repository, only the model's files are downloaded, into
        the cache of ``huggingface_hub``, from where they come without a network later. No code is
        loaded with the weights. Called on ``PneumoniaClassifier`` it gives whichever class was
        saved.

        Args:
            name: The name of a preset; the folder of a saved model or of a run; or
                ``"owner/name"`` on the Hugging Face Hub, also as ``"hf://owner/name"``. By default
                the preset of the class.
            revision: Of a Hub repository: a branch, a tag or a commit; ``"main"`` by default.
            token: An access token of the Hub; True for the stored one, False for none. By default
                the stored one if there is one.
            cache_dir: Where files of the Hub are kept; the cache of ``huggingface_hub`` by default.
            local_files_only: Use what is in the cache, and no network.

        Returns:
            The model, with ``threshold`` and ``metadata``; not compiled, backbone frozen.

        Raises:
            WeightsError: There is no such model, it is of another class or of a newer version, or
                one of its files is missing, cut short or changed.
            HubError: The Hub cannot give it.
            SettingsError: A revision is given for what is not on the Hub.

        Examples:
            ```python
            model = PneumoniaResNet50.from_pretrained("runs/first")
            model = PneumoniaResNet50.from_pretrained("owner/name", revision="v1")
            ```
        """
        name = name or cls.preset
        if name is None:
            raise SettingsError(
                f"{cls.__name__} has no preset. Give the name of a model: a folder, or owner/name "
                "on the Hugging Face Hub."
            )
        directory = find_model(
            name,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
        )
        description = Description.read(directory)
        # A public class is imported when it is first named.
        getattr(keras_pneumo, description.class_name, None)
        family = {member.__name__: member for member in _members(PneumoniaClassifier)}
        member = family.get(description.class_name)
        if member is None or not issubclass(member, cls):
            raise WeightsError(
                f"{name} holds a {description.class_name}, and {cls.__name__}.from_pretrained was "
                f"called. Call it on that class (known here: {', '.join(sorted(family))})."
            )
        try:
            # No other weights than those in the folder, whatever the file says.
            model = member(**{**description.config, "weights": None})
        except (TypeError, SettingsError) as error:
            raise WeightsError(
                f"{directory / DESCRIPTION_FILE} does not describe a {description.class_name}: "
                f"{error}. Copy or download the whole folder again."
            ) from error
        try:
            with warnings.catch_warnings():
                # Keras only warns where the file does not fit; a half-loaded model helps nobody.
                warnings.simplefilter("error", UserWarning)
                model.plain().load_weights(directory / WEIGHTS_FILE)
        except (OSError, ValueError, KeyError, UserWarning) as error:
            raise WeightsError(
                f"{directory / WEIGHTS_FILE} does not hold the weights of a "
                f"{description.class_name}: {error}"
            ) from error
        model.threshold, model.metadata = description.threshold, description.metadata
        return model

    def push_to_hub(
        self,
        repo_id: str,
        *,
        report: "EvaluationReport | None" = None,
        license: str | None = None,
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        commit_message: str = "Upload a model with keras-pneumo",
        overwrite_card: bool = False,
    ) -> "CommitInfo":
        """Publish the model on the Hugging Face Hub, in one commit.

        The repository holds what ``save_pretrained`` saves, a model card made of the report, and
        the report's curves. ``from_pretrained`` and ``keras.saving.load_model`` open it. No
        radiograph, no name of a file and no patient is uploaded.

        Args:
            repo_id: ``"owner/name"``; the repository is made if it is not there.
            report: What ``evaluate`` found; without it the card says that nothing was evaluated.
            license: An identifier of the Hub, such as ``"mit"``.
            private: Whether a new repository is private; None for the owner's default.
            token: An access token with the right to write; by default the stored one.
            revision: The branch to write to, made if it is not there; ``main`` by default.
            create_pr: Open a pull request instead of writing to ``main``.
            commit_message: The first line of the commit's message.
            overwrite_card: Replace a card that a person has edited; by default it is kept.

        Returns:
            The commit as ``huggingface_hub`` describes it: ``commit_url``, ``oid``, ``pr_url``.

        Raises:
            HubError: The Hub cannot be reached, the token may not write there, or the repository
                changed during the upload. Nothing is written then.
            SettingsError: The report is of another threshold, or a pull request is asked for on
                another branch than ``main``.

        Examples:
            ```python
            model = PneumoniaResNet50.from_pretrained("runs/first")
            report = EvaluationReport.load("runs/first/evaluation")
            print(model.push_to_hub("owner/name", report=report, license="mit").commit_url)
            ```
        """
        # Here, since whoever only loads a model should not wait for what draws reports.
        from keras_pneumo.pretrained.repository import Repository

        with tempfile.TemporaryDirectory() as temporary:
            saved = self.save_pretrained(Path(temporary) / "model")
            repository = Repository.gather(saved, repo_id, report=report, license=license)
            return repository.push(
                private=private,
                token=token,
                revision=revision,
                create_pr=create_pr,
                commit_message=commit_message,
                overwrite_card=overwrite_card,
            )


def _members(cls: type) -> list[type]:
    children: list[type] = cls.__subclasses__()
    return [cls, *(member for child in children for member in _members(child))]
