"""Runs ONNX files and OpenVINO's own files on the CPU, by OpenVINO, which is an optional package.

Measured with ResNet20 on CIFAR-10 on a processor with AVX2 and without VNNI, one thread; eager
PyTorch takes 5.98 ms for one image and 77.7 ms for 32 (processor seconds, medians):

                         1 image    32 images    accuracy
    ONNX Runtime, float  2.21 ms    65.0 ms      91.73%
    ONNX Runtime, int8   2.41 ms    74.2 ms      91.76%
    OpenVINO, float      2.37 ms    65.0 ms      91.73%
    OpenVINO, int8       2.35 ms    62.3 ms      91.63%
"""

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError
from core.machine import physical_cores

MISSING_OPENVINO = "OpenVINO is not installed: pip install -r requirements-openvino.txt"


def has_openvino() -> bool:
    """Whether the package is installed. It is not imported."""
    return importlib.util.find_spec("openvino") is not None


def require_openvino() -> None:
    """Raise UserError if the package is not installed."""
    if not has_openvino():
        raise UserError(MISSING_OPENVINO)


class OpenVinoEngine:
    """One network, ready to run."""

    def __init__(self, model: bytes, weights: bytes | None = None, threads: int | None = None):
        """Load the network and choose its kernels.

        model: an ONNX file, or the .xml of OpenVINO's own format, whose .bin is `weights`. threads:
        for one layer; None for one on each core that this process may use. Raises UserError for a
        file that OpenVINO cannot run, and if it is not installed.
        """
        network = read_network(model, weights)
        import openvino
        from openvino.properties import hint, inference_num_threads, num_streams
        from openvino.properties.intel_cpu import denormals_optimization

        settings = {
            inference_num_threads(): threads or physical_cores(),
            num_streams(): 1,
            hint.inference_precision(): openvino.Type.f32,  # never bfloat16 in place of float
            denormals_optimization(): True,  # pruned weights drift into denormal numbers
        }
        try:
            # In a thread of its own, in which OpenVINO makes denormal numbers zero for good.
            with ThreadPoolExecutor(1) as thread:
                compiled = thread.submit(
                    openvino.Core().compile_model, network, "CPU", settings
                ).result()
        except RuntimeError as error:
            raise UserError(f"OpenVINO cannot load this file: {_reason(error)}") from error
        self._request = compiled.create_infer_request()

    def run(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Return the output for a batch, float32 (N, C).

        images: (N, 3, side, side), as the file takes them. Raises UserError for other images.
        """
        try:
            self._request.infer({0: np.ascontiguousarray(images)}, share_inputs=True)
        except (RuntimeError, ValueError) as error:
            raise UserError(f"OpenVINO cannot run these images: {_reason(error)}") from error
        output: NDArray[np.float32] = self._request.get_output_tensor(0).data.copy()
        return output


def read_network(model: bytes, weights: bytes | None = None) -> Any:
    """Return the `openvino.Model` of a file; the arguments and errors are as in the engine."""
    require_openvino()
    import openvino

    try:
        return openvino.Core().read_model(model, b"" if weights is None else weights)
    except RuntimeError as error:
        raise UserError(f"OpenVINO cannot read this file: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return the last line that says something. Those before it name OpenVINO's own source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "no message"
