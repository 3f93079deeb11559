"""Make the job of a run: each kind of recipe has its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.compress import codec
from core.config import (
    AffineRecipe,
    AnswersRecipe,
    BudgetRecipe,
    ImportRecipe,
    Int8Recipe,
    KMeansRecipe,
    LatencyRecipe,
    PruneRecipe,
    TrainRecipe,
)
from core.errors import UserError
from core.hashes import content_hash
from core.jobs.answers import AnswersJob
from core.jobs.budget.channels.job import FasterJob
from core.jobs.budget.job import BudgetJob
from core.jobs.import_network import ImportJob
from core.jobs.int8 import Int8Job
from core.jobs.job import Job
from core.jobs.latency import LatencyJob
from core.jobs.prune import PruneJob
from core.jobs.quantize import QuantizeJob
from core.jobs.train import TrainJob
from core.models import saved
from core.runs.latency import latency_subject
from core.runs.prune import read_early_weights
from core.runs.run import IMPORT_SOURCE, MODEL, Run, recorded_accuracy
from core.runs.store import RunStore


def begin_job(run: Run, data_root: Path, checkpoint: Mapping[str, Any] | None) -> Job:
    """Make the job of the run's recipe, which continues from the checkpoint if there is one.

    `data_root` is the folder of the data sets. Raises UserError for a missing parent and whatever
    else the job cannot work with.
    """
    match run.recipe:
        case TrainRecipe() as recipe:
            return TrainJob(recipe, data_root, checkpoint)
        case ImportRecipe() as recipe:
            return ImportJob(recipe, run.path / IMPORT_SOURCE, data_root)
        case KMeansRecipe() | AffineRecipe() as recipe:
            parent = _parent_of(run)
            network = saved.read_model(parent.path / MODEL)
            has_levels = network.card.is_quantized and parent.packed_file.exists()
            packed = codec.load(parent.packed_file) if has_levels else None
            recorded = recorded_accuracy(parent)
            return QuantizeJob(recipe, network, packed, data_root, checkpoint, recorded)
        case PruneRecipe() as recipe:
            parent = _parent_of(run)
            network = saved.read_model(parent.path / MODEL)
            # A checkpoint has the weights already, and the training may be deleted by then.
            early = read_early_weights(parent, None if checkpoint else recipe.rewind)
            recorded = recorded_accuracy(parent)
            return PruneJob(recipe, network, data_root, checkpoint, recorded, early)
        case BudgetRecipe() as recipe:
            parent = _parent_of(run)
            network = saved.read_model(parent.path / MODEL)
            if recipe.faster is not None:
                return FasterJob(recipe, network, data_root, checkpoint)
            recorded = recorded_accuracy(parent)
            return BudgetJob(recipe, network, data_root, checkpoint, recorded)
        case Int8Recipe() as recipe:
            parent = _parent_of(run)
            network = saved.read_model(parent.path / MODEL)
            return Int8Job(recipe, network, data_root, recorded_accuracy(parent))
        case AnswersRecipe() as recipe:
            parent = _parent_of(run)
            network = saved.read_model(parent.path / MODEL)
            model_hash = content_hash(parent.path / MODEL)
            recorded = recorded_accuracy(parent)
            return AnswersJob(recipe, network, model_hash, data_root, checkpoint, recorded)
        case LatencyRecipe() as recipe:
            subject = latency_subject(RunStore(run.path.parent), _parent_of(run))
            network = saved.read_model(subject.network.path / MODEL)
            recorded = recorded_accuracy(subject.network)
            int8, source = subject.read_int8()
            int8_run = subject.int8.id if subject.int8 else ""
            return LatencyJob(recipe, network, data_root, recorded, int8, source, int8_run)


def _parent_of(run: Run) -> Run:
    """Read the run that the recipe is applied to. Raises UserError if there is none."""
    if run.config.parent is None:
        raise UserError(f"“{run.name}” has no parent: the run whose network it works on.")
    return RunStore(run.path.parent).get(run.config.parent)
