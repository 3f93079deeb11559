"""Makes the files in which a run's network leaves Secateur. `core.deploy.files` has the writers."""

from dataclasses import dataclass
from pathlib import Path

from core.commands.command_of import command_of
from core.config import Int8Recipe
from core.deploy.files.formats import EXPORT_FORMATS, FormatName
from core.deploy.files.metrics import metrics_csv
from core.deploy.files.model_card import CardFacts, card_markdown
from core.deploy.files.verification import Verification, verify_file
from core.deploy.openvino_engine import require_openvino
from core.errors import UserError
from core.hashes import require_intact
from core.models.card import ModelCard
from core.models.saved import read_card, read_model
from core.runs.run import INT8, MASKS, MODEL, Run, recorded_accuracy
from core.runs.store import RunStore


@dataclass(frozen=True)
class ExportedFile:
    """A file to write, and what it is verified against.

    format_name: its format. model: the saved model in float that it was made of, None if that run
    is gone. recorded: the test accuracy in [0, 1] that the file has on all test images, None if it
    has none. note: what to know of it, in a sentence, such as the dead channels that left, or "".
    with_normalisation: whether it takes pixels and gives probabilities.
    """

    content: bytes
    format_name: FormatName
    model: Path | None
    recorded: float | None = None
    note: str = ""
    with_normalisation: bool = False

    def verify(self, file: Path, data_root: Path, images: int | None = None) -> Verification:
        """Check the written file in a fresh process; see `verify_file`."""
        return verify_file(
            file,
            self.format_name,
            self.model,
            data_root,
            images,
            self.recorded,
            self.with_normalisation,
        )


def exported_file(
    store: RunStore, run: Run, format_name: FormatName, with_normalisation: bool = False
) -> ExportedFile:
    """Make the file of a finished run in this format.

    A format in integers takes the run of an Int8Recipe, as `core.runs.int8.request_int8` makes it.
    with_normalisation: let it take pixels and give probabilities, for formats that are a graph.
    Raises UserError for what the run does not have.
    """
    check_export(format_name, with_normalisation)
    if run.state != "finished":
        raise UserError(f"“{run.name}” is {run.state}: export a finished run.")
    if run.is_helper:
        raise UserError(f"“{run.name}” has no network of its own: export the one that it measured.")
    source = _run_in_float(store, run)
    model = source.path / MODEL if source else None
    recorded = recorded_accuracy(run)
    facts = EXPORT_FORMATS[format_name]
    is_int8 = isinstance(run.recipe, Int8Recipe)
    if format_name == "card":
        return ExportedFile(_card(store, run), format_name, model)
    if facts.in_integers != is_int8:
        raise UserError(_other_format(run, format_name))
    if facts.is_graph:
        content, note = _integers(run, source) if is_int8 else _onnx(run)
        content = _converted(content, format_name, with_normalisation)
        return ExportedFile(content, format_name, model, recorded, note, with_normalisation)
    match format_name:
        case "metrics":
            content = metrics_csv(store.epochs(run.id)).encode()
        case "masks":
            content = _masks(run)
        case _:
            content = _network(run, format_name)
    return ExportedFile(content, format_name, model, recorded if facts.is_network else None)


def check_export(format_name: FormatName, with_normalisation: bool) -> None:
    """Raise UserError for a format that cannot be made so, or not on this machine."""
    facts = EXPORT_FORMATS[format_name]
    if with_normalisation and not facts.is_graph:
        graphs = ", ".join(name for name, other in EXPORT_FORMATS.items() if other.is_graph)
        raise UserError(f"The normalisation can be in {graphs} only, got {format_name}")
    if facts.engine == "OpenVINO":
        require_openvino()


def _run_in_float(store: RunStore, run: Run) -> Run | None:
    """Return the run itself, or the parent of a file in integers; None if that is gone."""
    if not isinstance(run.recipe, Int8Recipe):
        return run
    others = (other for other in store.lineage(run.id) if other.id == run.config.parent)
    return next((other for other in others if (other.path / MODEL).is_file()), None)


def _other_format(run: Run, format_name: FormatName) -> str:
    if EXPORT_FORMATS[format_name].in_integers:
        return f"“{run.name}” is no file in 8-bit integers: make one of it first."
    return (
        f"“{run.name}” is an ONNX file in 8-bit integers. Export it as onnx-int8, openvino-int8 or"
        f" card, or export {run.config.parent}, the network that it was made from."
    )


def _integers(run: Run, source: Run | None) -> tuple[bytes, str]:
    """Return the ONNX file of a run in integers, and what cannot be checked of it."""
    note = ""
    if source is None:
        note = (
            f"The network in float that it was made from ({run.config.parent}) is gone: the"
            " accuracy is measured again, but pruned weights cannot be compared."
        )
    return _read(run, INT8), note


def _converted(content: bytes, format_name: FormatName, with_normalisation: bool) -> bytes:
    """Return the ONNX file in the format, with the normalisation in it if wanted."""
    if with_normalisation:
        from core.deploy.onnx import pixels

        content = pixels.with_normalisation(content)
    if EXPORT_FORMATS[format_name].engine == "OpenVINO":
        from core.deploy.files.openvino_ir import ir_zip

        content = ir_zip(content)
    return content


def _network(run: Run, format_name: FormatName) -> bytes:
    """Return the saved model, or the packed file."""
    if format_name == "safetensors":
        return _read(run, MODEL)
    if run.packed_file.exists():
        return _read(run, run.packed_file.name)
    from core.compress import codec

    network = read_model(run.path / MODEL)  # the run of an older version
    content, _ = codec.pack(network.state, network.card)
    return content


def _onnx(run: Run) -> tuple[bytes, str]:
    """Return the network in float without its dead channels, and a sentence on these."""
    from core.deploy.onnx.export import export_onnx
    from core.deploy.smaller import without_dead_channels

    source = read_model(run.path / MODEL)
    smaller = without_dead_channels(source.network(), source.card)
    return export_onnx(smaller.network, source.card), str(smaller)


def _masks(run: Run) -> bytes:
    from safetensors.torch import load

    from core.deploy.files.masks import masks_bytes

    has_masks = (run.path / MASKS).exists()
    masks = load(_read(run, MASKS)) if has_masks else None
    return masks_bytes(read_model(run.path / MODEL), masks)


def _card(store: RunStore, run: Run) -> bytes:
    if run.status.summary is None:
        raise UserError(f"“{run.name}” has no figures for a model card.")
    lineage = store.lineage(run.id)
    facts = CardFacts(
        name=run.name,
        card=_model_card(run),
        summary=run.status.summary,
        commands=[text for member in lineage if (text := command_of(member))],
        in_integers=isinstance(run.recipe, Int8Recipe),
    )
    return card_markdown(facts).encode()


def _model_card(run: Run) -> ModelCard:
    if not isinstance(run.recipe, Int8Recipe):
        return read_card(run.path / MODEL)
    from core.deploy.onnx.metadata import card_of

    return card_of(_read(run, INT8))


def _read(run: Run, name: str) -> bytes:
    """Read a file of the run. Raises UserError if it is gone or damaged."""
    path = run.path / name
    try:
        content = path.read_bytes()
        require_intact(path)
    except OSError as error:
        raise UserError(f"{path} is damaged or gone ({error}).") from error
    return content
