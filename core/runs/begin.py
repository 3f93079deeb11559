"""Make the job of a run: each kind of recipe has its own."""

from pathlib import Path

from core.compress import codec
from core.config import AffineRecipe, ImportRecipe, KMeansRecipe, TrainRecipe
from core.errors import UserError
from core.jobs.import_network import ImportJob
from core.jobs.job import Job
from core.jobs.quantize import QuantizeJob
from core.jobs.train import TrainJob
from core.models import saved
from core.runs.artefacts import load_checkpoint
from core.runs.run import IMPORT_SOURCE, MODEL, PACKED, Run
from core.runs.store import RunStore


def begin_job(run: Run, data_root: Path) -> Job:
    """Make the job of the run's recipe, which continues from the last checkpoint if there is one.

    `data_root` is the folder of the data sets. Raises UserError for a damaged checkpoint, a missing
    parent and whatever else the job cannot work with.
    """
    match run.recipe:
        case TrainRecipe() as recipe:
            return TrainJob(recipe, data_root, load_checkpoint(run))
        case ImportRecipe() as recipe:
            return ImportJob(recipe, run.path / IMPORT_SOURCE, data_root)
        case KMeansRecipe() | AffineRecipe() as recipe:
            parent = _parent_of(run)
            packed_file = parent.path / PACKED
            packed = codec.load(packed_file) if packed_file.exists() else None
            network = saved.read_model(parent.path / MODEL)
            return QuantizeJob(recipe, network, packed, data_root, load_checkpoint(run))


def _parent_of(run: Run) -> Run:
    """Read the run whose result is quantized. Raises UserError if there is none."""
    if run.config.parent is None:
        raise UserError(f"“{run.name}” has no parent: the run whose network is quantized.")
    return RunStore(run.path.parent).get(run.config.parent)
