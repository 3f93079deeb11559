"""Runs ONNX files on the CPU, by ONNX Runtime. A file with 8-bit layers runs in integers."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError
from core.machine import physical_cores

_ERRORS_ONLY = 3  # of ONNX Runtime's severities


class OnnxEngine:
    """One ONNX file, ready to run.

    input_name, output_name: names of the input and of the output.
    """

    def __init__(
        self, model: bytes, threads: int | None = None, profile_folder: Path | None = None
    ):
        """Load the file and optimize its graph: fold constants, fuse layers, choose kernels.

        threads: for one layer; None for one on each core that this process may use.
        profile_folder: where the time of each layer is written down; None measures nothing.
        Raises UserError for a file that ONNX Runtime cannot run.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = threads or physical_cores()
        options.log_severity_level = _ERRORS_ONLY
        # Pruned weights drift into denormal numbers, which CPUs handle in microcode.
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        # Threads that spin while they wait take the cores from other runs and the browser.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if profile_folder is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(profile_folder / "profile")
        self._session = _session(model, options)
        self.input_name: str = self._session.get_inputs()[0].name
        self.output_name: str = self._session.get_outputs()[0].name

    def run(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Return the output for a batch, float32 (N, C).

        images: (N, 3, side, side), as the file takes them. Raises UserError for other images.
        """
        feed = {self.input_name: np.ascontiguousarray(images)}
        try:
            output: NDArray[np.float32] = self._session.run([self.output_name], feed)[0]
        except _runtime_errors() as error:
            raise UserError(f"ONNX Runtime cannot run these images: {_reason(error)}") from error
        return output

    def end_profile(self) -> Path:
        """Stop measuring, and return the file with the time of each layer (Chrome's trace format).

        Raises UserError if nothing was measured.
        """
        file = self._session.end_profiling()
        if not file:
            raise UserError("Nothing was profiled: give the engine a profile_folder.")
        return Path(file)


def _session(model: bytes, options: Any) -> Any:
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except _runtime_errors() as error:
        raise UserError(f"ONNX Runtime cannot load this file: {_reason(error)}") from error


def _runtime_errors() -> tuple[type[Exception], ...]:
    """Return the errors that ONNX Runtime raises for bad files and bad input."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NotImplemented,
        state.RuntimeException,
    )


def _reason(error: Exception) -> str:
    """Return the first line without ONNX Runtime's own code, such as "[ONNXRuntimeError] : 7 :"."""
    first = str(error).strip().splitlines()[0]
    return first.rpartition("[ONNXRuntimeError] : ")[2]
