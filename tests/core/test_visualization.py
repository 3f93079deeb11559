"""The notebook API and its figures: what they show, and that they belong to nobody else."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from core import models
from core.charts.mosaic_figure import draw_mosaic_figure, encode_figure
from core.errors import UserError
from core.inspect.activations.captured import capture
from core.inspect.colour_scale import ColourScale
from core.inspect.mosaic import make_mosaic
from core.inspect.weights.histogram import value_frequencies
from core.visualization import VisualizeNetwork


@pytest.fixture(scope="module")
def lenet():
    torch.manual_seed(0)
    return models.build("LeNet5", 10)


def title(drawn):
    return drawn.get_suptitle()


def picture(drawn):
    """The pixels of a figure's only mosaic."""
    return drawn.axes[0].images[0].get_array()


def with_grey_gaps(shown):
    """A mosaic as a figure has it: grey between the tiles."""
    pixels = shown.rgb.copy()
    pixels[shown.pixels == 253] = 205
    return pixels


def numbers(drawn, panel=0):
    return [text.get_text() for text in drawn.axes[panel].texts]


def test_kernels_have_a_figure_for_each_convolution(lenet):
    figures = VisualizeNetwork().display_kernel(lenet)
    assert [title(drawn) for drawn in figures] == [
        "features.0.weight: 6 kernels of 5×5, averaged over 3 input channels",
        "features.3.weight: 16 kernels of 5×5, averaged over 6 input channels",
    ]
    assert [numbers(drawn) for drawn in figures] == [
        [str(i) for i in range(count)] for count in (6, 16)
    ]
    mean = lenet.features[0].weight.mean(1).detach().numpy()
    assert (
        picture(figures[0]) == with_grey_gaps(make_mosaic(mean, ColourScale.diverging(mean)))
    ).all()


def test_kernels_of_size_one_are_a_matrix():
    model = nn.Sequential(nn.Conv2d(3, 5, 1), nn.Conv2d(5, 3, 3))
    figures = VisualizeNetwork().display_kernel(model)
    assert title(figures[0]) == "0.weight: 5 × 3 kernels of 1×1, inputs to the right"
    assert numbers(figures[0]) == []
    assert len(VisualizeNetwork().display_kernel(model, layers=["1.weight"])) == 1
    with pytest.raises(
        UserError, match=r"layers must be .* \(0.weight, 1.weight\), got '7.weight'"
    ):
        VisualizeNetwork().display_kernel(model, layers=["7.weight"])


def test_a_limit_on_the_channels_is_kept_and_said():
    model = nn.Conv2d(3, 40, 3)
    (drawn,) = VisualizeNetwork(channels=8).display_kernel(model)
    assert len(numbers(drawn)) == 8
    assert drawn.axes[0].get_title() == "the first 8 channels"
    with pytest.raises(UserError, match="channels must be at least 1, got 0"):
        VisualizeNetwork(channels=0)


def test_the_input_comes_first_and_then_the_activations_of_the_first_image(lenet):
    batch = torch.randn(3, 3, 32, 32)
    first, *figures = VisualizeNetwork().display_activations(lenet, batch)
    assert title(first).startswith("input: ")
    expected = capture(lenet, batch[:1])
    assert [title(drawn).partition(":")[0] for drawn in figures] == list(expected)
    for drawn, output in zip(figures, expected.values(), strict=True):
        maps = output[0].numpy()
        dead = np.logical_not(maps.reshape(len(maps), -1).any(1))
        mosaic = make_mosaic(maps, ColourScale.sequential(maps), marked=dead)
        assert (picture(drawn) == with_grey_gaps(mosaic)).all()
        assert title(drawn).endswith(f": ReLU, {len(maps)} channels, {dead.sum()} dead")
    assert len(VisualizeNetwork().display_activations(lenet, batch, layers=["features.1"])) == 2
    with pytest.raises(UserError, match=r"got float32 \(3, 32, 32\)"):
        VisualizeNetwork().display_activations(lenet, batch[0])


def test_an_input_of_three_channels_is_drawn_in_colour():
    image = torch.tensor([[[[-1.0, 3.0]], [[1.0, 1.0]], [[3.0, -1.0]]]])
    first, _ = VisualizeNetwork().display_activations(nn.ReLU(), image)
    assert title(first) == "input: 3 × 1 × 2, values from -1 to 3 scaled for display"
    pixels = picture(first)
    assert pixels[0, 0].tolist() == [0, 128, 255]
    assert pixels[0, -1].tolist() == [255, 128, 0]
    assert numbers(first) == []


def test_an_input_of_one_channel_is_drawn_in_grey():
    image = torch.tensor([[[[-1.0, 3.0]]]])
    first, _ = VisualizeNetwork().display_activations(nn.ReLU(), image)
    assert title(first) == "input: 1 × 1 × 2, values from -1 to 3 scaled for display"
    pixels = picture(first)
    assert pixels[0, 0].tolist() == [0, 0, 0]
    assert pixels[0, -1].tolist() == [255, 255, 255]


@pytest.mark.parametrize("value", [0.5, float("nan")])
def test_an_input_without_contrast_can_be_drawn(value):
    image = torch.full((1, 2, 4, 4), value)
    first, _ = VisualizeNetwork().display_activations(nn.ReLU(), image)
    assert numbers(first) == ["0", "1"]


def test_smooth_activations_stand_beside_the_relus():
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.GELU(), nn.ReLU())
    _, *drawn = VisualizeNetwork().display_activations(model, torch.randn(1, 3, 4, 4))
    assert [title(one).partition(",")[0] for one in drawn] == ["1: GELU", "2: ReLU"]


def test_all_activations_of_mobilenet_v3_have_a_figure():
    model = models.build("mobilenet_v3_small", 10)
    figures = VisualizeNetwork(channels=4).display_activations(model, torch.randn(1, 3, 32, 32))
    assert len(figures) == 1 + 33


def test_a_convolution_without_a_figure_is_named():
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Conv1d(2, 2, 1))
    with pytest.warns(UserWarning, match=r"no Conv2d: 1 \(Conv1d\)"):
        assert len(VisualizeNetwork().display_kernel(model)) == 1


def test_the_scatter_plot_of_a_float_and_a_quantized_network():
    initial, processed = nn.Linear(100, 50, bias=False), nn.Linear(100, 50, bias=False)
    processed.weight.data = (
        torch.tensor([-1.0, 0.0, 0.0, 0.5, 0.5, 0.5]).repeat(834)[:5000].reshape(50, 100)
    )
    drawn = VisualizeNetwork().display_scatter_plot(initial, processed)
    blue, orange = drawn.axes[0].collections
    first_colours = np.asarray(blue.get_facecolor())
    second_colours = np.asarray(orange.get_facecolor())
    assert np.round(first_colours[0, :3], 2).tolist() == [0.12, 0.47, 0.71]
    assert np.round(second_colours[0, :3], 2).tolist() == [1.0, 0.5, 0.05]
    processed_points = np.asarray(orange.get_offsets())
    initial_points = np.asarray(blue.get_offsets())
    assert processed_points.tolist() == [[-1.0, 834], [0.0, 1667], [0.5, 2499]]
    assert initial_points[:, 1].sum() == 5000
    assert len(initial_points) <= 1000
    assert drawn.axes[0].get_yscale() == "log"
    legend = drawn.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "initial: 5,000 weights, in bins of 0.0015",
        "processed: 5,000 weights, 3 different",
    ]
    with pytest.raises(UserError, match="must have finite weights"):
        VisualizeNetwork().display_scatter_plot(initial, nn.ReLU())


def test_frequencies_are_exact_up_to_the_limit_and_complete_beyond():
    few = np.repeat(np.arange(7, dtype=np.float32), 3)
    points, counts, how = value_frequencies(few, (0, 6), most=7)
    assert (points.tolist(), counts.tolist(), how) == (list(range(7)), [3] * 7, "7 different")
    points, counts, how = value_frequencies(few, (0, 6), most=3)
    assert (points.tolist(), counts.tolist(), how) == ([1, 3, 5], [6, 6, 9], "in bins of 2")
    hidden = np.zeros(100_000, np.float32)
    hidden[1::2000] = np.arange(50)  # that no sample of the array has to meet
    assert value_frequencies(hidden, (0, 49), most=10)[1].sum() == 100_000


def test_models_are_left_as_they_were(lenet):
    before = {name: tensor.clone() for name, tensor in lenet.state_dict().items()}
    lenet.train()
    visualize = VisualizeNetwork()
    visualize.display_kernel(lenet)
    visualize.display_activations(lenet, torch.randn(1, 3, 32, 32))
    visualize.display_scatter_plot(lenet, lenet)
    assert all(module.training for module in lenet.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in lenet.state_dict().items())


def test_figures_without_pyplot():
    script = (
        "import sys, torch\nfrom core.visualization import VisualizeNetwork as"
        " V\nV().display_kernel(torch.nn.Conv2d(3, 2, 3))\nassert 'matplotlib.pyplot' not in"
        " sys.modules\nassert 'IPython' not in sys.modules"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr


def test_figures_are_displayed_in_a_notebook_unless_it_is_turned_off():
    pytest.importorskip("IPython")
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    InteractiveShell.instance()
    try:
        with capture_output() as caught:
            (drawn,) = VisualizeNetwork().display_kernel(nn.Conv2d(3, 2, 3))
        assert isinstance(drawn, Figure)
        (shown,) = caught.outputs
        assert shown.data["image/png"].startswith("iVBOR")
        with capture_output() as caught:
            VisualizeNetwork(show=False).display_kernel(nn.Conv2d(3, 2, 3))
        assert caught.outputs == []
    finally:
        InteractiveShell.clear_instance()


def test_a_cell_shows_what_it_returns_once_and_a_later_cell_shows_it_again():
    """With and without pyplot, whose backend draws open figures by itself."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    start = (
        "from torch import nn\nfrom core.visualization import VisualizeNetwork as V\nnet ="
        " nn.Conv2d(3, 2, 3)"
    )
    cells = [
        start,
        "V().display_scatter_plot(net, net)",
        "figures = V().display_kernel(net)",
        "V().display_kernel(net)",
        "figures",
        "figures[0]",
        "figures = V(show=False).display_kernel(net)",
    ]
    cells += [f"%matplotlib inline\nimport matplotlib.pyplot\n{start}", *cells[1:]]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    root = {"metadata": {"path": str(Path(__file__).parents[2])}}
    nbclient.NotebookClient(notebook, timeout=120, resources=root).execute()
    outputs = [cell.outputs for cell in notebook.cells]
    assert [len(shown) for shown in outputs] == 2 * [0, 1, 1, 1, 1, 1, 0]
    assert all("image/png" in output.data for shown in outputs for output in shown)


def test_figures_of_a_model_on_another_device_and_of_a_batch_on_the_cpu():
    device = next(
        (
            name
            for name, module in (("cuda", torch.cuda), ("mps", torch.mps))
            if module.is_available()
        ),
        None,
    )
    if device is None:
        pytest.skip("there is no other device")
    model = models.build("LeNet5", 10).to(device)
    visualize = VisualizeNetwork()
    assert len(visualize.display_activations(model, torch.randn(2, 3, 32, 32))) == 5
    assert len(visualize.display_kernel(model)) == 2
    assert visualize.display_scatter_plot(model, models.build("LeNet5", 10)).axes


def test_a_figure_of_several_mosaics_on_their_scales():
    maps = np.random.default_rng(0).random((300, 4, 4)).astype(np.float32)
    shared, difference = ColourScale.sequential(maps), ColourScale.diverging(maps)
    drawn = draw_mosaic_figure(
        [make_mosaic(maps, shared), make_mosaic(maps[:6], difference)],
        ["dense", "difference"],
        "activation",
        "relu",
    )
    many, few = drawn.axes[:2]
    assert [axes.get_title() for axes in (many, few)] == ["dense", "difference"]
    assert title(drawn) == "relu"
    assert [text.get_text() for text in few.texts] == [str(i) for i in range(6)]
    assert [text.get_text() for text in many.get_yticklabels()] == [
        str(i) for i in range(0, 300, 20)
    ]
    bars = [axes.child_axes[0] for axes in (many, few)]
    assert [bar.get_ylabel() for bar in bars] == ["activation"] * 2
    assert bars[0].get_ylim() == pytest.approx((shared.low, shared.high))
    assert bars[1].get_ylim() == pytest.approx((difference.low, difference.high))


def test_numbers_follow_the_order():
    maps = np.arange(4, dtype=np.float32)
    assert numbers(
        draw_mosaic_figure(
            [make_mosaic(maps, ColourScale.sequential(maps), order=[3, 1])], ["fc"], "activation"
        )
    ) == ["3", "1"]


def test_files_of_a_figure(lenet):
    drawn = VisualizeNetwork().display_kernel(lenet)[0]
    assert encode_figure(drawn).startswith(b"\x89PNG")
    assert encode_figure(drawn, "svg").lstrip().startswith(b"<?xml")
    assert b"<dc:date>" not in encode_figure(drawn, "svg")
    assert encode_figure(drawn, "svg") == encode_figure(drawn, "svg")
