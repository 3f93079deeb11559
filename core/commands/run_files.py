"""Makes the files in which a run's network leaves Secateur. `core.deploy.files` has the writers."""

from dataclasses import dataclass
from pathlib import Path

from core.commands.command_of import command_of
from core.config import Int8Recipe
from core.deploy.files.formats import FormatName
from core.deploy.files.metrics import metrics_csv
from core.deploy.files.model_card import CardFacts, card_markdown
from core.errors import UserError
from core.hashes import require_intact
from core.models.saved import read_card, read_model
from core.runs.run import INT8, MASKS, MODEL, Run
from core.runs.store import RunStore


@dataclass(frozen=True)
class ExportedFile:
    """A file to write, and what it is verified against.

    model: the saved model in float that it was made of. recorded: the test accuracy in [0, 1] that
    the file has on all test images, None if it has none. note: a sentence on the dead channels that
    left the network, "" if none did.
    """

    content: bytes
    model: Path
    recorded: float | None = None
    note: str = ""


def exported_file(store: RunStore, run: Run, format_name: FormatName) -> ExportedFile:
    """Make the file of a finished run in this format.

    "onnx-int8" takes the run of an Int8Recipe, as `core.runs.int8.request_int8` makes it. Raises
    UserError for what the run does not have.
    """
    if run.state != "finished":
        raise UserError(f"“{run.name}” is {run.state}: export a finished run.")
    if run.is_helper:
        raise UserError(f"“{run.name}” has no network of its own: export the one that it measured.")
    source = _run_in_float(store, run)
    recorded = run.status.summary.test_accuracy if run.status.summary else None
    match format_name:
        case "onnx-int8":
            return ExportedFile(_read(run, INT8), source.path / MODEL, recorded)
        case "card":
            return ExportedFile(_card(store, run, source), source.path / MODEL)
        case "metrics":
            return ExportedFile(metrics_csv(store.epochs(run.id)).encode(), source.path / MODEL)
    if source.id != run.id:
        raise UserError(
            f"“{run.name}” is an ONNX file in 8-bit integers. Export it as onnx-int8 or card, or"
            f" export {source.id}, the network that it was made from."
        )
    if format_name == "masks":
        return ExportedFile(_masks(run), run.path / MODEL)
    if format_name == "onnx":
        content, note = _onnx(run)
        return ExportedFile(content, run.path / MODEL, recorded, note)
    content = _network(run, format_name)
    return ExportedFile(content, run.path / MODEL, recorded)


def _run_in_float(store: RunStore, run: Run) -> Run:
    """Return the run itself, or the parent of a file in integers."""
    if isinstance(run.recipe, Int8Recipe) and run.config.parent is not None:
        return store.get(run.config.parent)
    return run


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


def _card(store: RunStore, run: Run, source: Run) -> bytes:
    if run.status.summary is None:
        raise UserError(f"“{run.name}” has no figures for a model card.")
    lineage = store.lineage(run.id)
    facts = CardFacts(
        name=run.name,
        card=read_card(source.path / MODEL),
        summary=run.status.summary,
        commands=[text for member in lineage if (text := command_of(member))],
        in_integers=isinstance(run.recipe, Int8Recipe),
    )
    return card_markdown(facts).encode()


def _read(run: Run, name: str) -> bytes:
    """Read a file of the run. Raises UserError if it is gone or damaged."""
    path = run.path / name
    try:
        content = path.read_bytes()
        require_intact(path)
    except OSError as error:
        raise UserError(f"{path} is damaged or gone ({error}).") from error
    return content
