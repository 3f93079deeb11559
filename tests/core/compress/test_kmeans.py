"""k-means on a line against hand-made cases, scikit-learn, and exhaustive search."""

import itertools
import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from core import models
from core.compress.clustering.lloyd import INIT_METHODS
from core.compress.clustering.optimal import optimal_cuts
from core.compress.distortion import squared_error
from core.compress.kmeans import Codebook, exact_codebook, share_model, share_weights
from core.errors import UserError
from core.models.parameters import batchnorm_weights, prunable_weights
from tests.toys import Flat, Tied


def sklearn_inertia(weight, clusters, dtype):
    """What scikit-learn reaches on the nonzero weights from the same, linear start, measured in
    float64.
    """
    values = weight[weight != 0].double().numpy()
    start = np.linspace(values.min(), values.max(), clusters).astype(dtype)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = KMeans(clusters, init=start, n_init=1, tol=0, algorithm="lloyd").fit(
            values.astype(dtype)[:, None]
        )
    return float(((values - fit.cluster_centers_[fit.labels_, 0]) ** 2).sum())


def brute_force(values, clusters):
    """The least sum of squared errors over all ways to cut sorted values."""
    values = np.sort(np.asarray(values, np.float64))
    return min(
        sum(((part - part.mean()) ** 2).sum() for part in np.split(values, cuts))
        for cuts in itertools.combinations(range(1, len(values)), clusters - 1)
    )


def heavy_tailed(n, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_t(2, n).astype(np.float32))


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def assert_fixed_point(weight, book):
    """Every weight is at its nearest centroid, and every centroid at the mean of its weights."""
    values, centroids = weight[weight != 0].double(), book.centroids.double()
    indices = book.indices[weight != 0].long()
    nearest = (values[:, None] - centroids).abs().amin(1)
    assert torch.allclose(
        (values - centroids[indices]).abs(), nearest, atol=1e-6 * float(values.abs().max())
    )
    means = torch.stack([values[indices == i].mean() for i in range(len(centroids))])
    assert torch.allclose(means, centroids, rtol=1e-6, atol=1e-6)


def test_two_clusters_by_hand():
    book = share_weights(torch.tensor([[1.0, 11.0], [2.0, 9.0]]), 2)
    assert book.centroids.tolist() == [1.5, 10.0]
    assert book.indices.tolist() == [[0, 1], [0, 1]]
    assert book.mask is None
    assert book.decode().tolist() == [[1.5, 10.0], [1.5, 10.0]]
    assert book.counts().tolist() == [2, 2]
    assert book.bits == 1


def test_lloyd_by_hand_from_the_linear_start():
    # Start 0, 5, 10; cells {0, 1}, {3, 4}, {8, 10}: means 0.5, 3.5, 9, with midpoints 2 and 6.25,
    # so it stands.
    book = share_weights(torch.tensor([10.0, 1.0, 0.0, 4.0, 8.0, 3.0]), 3, keep_zeros=False)
    assert book.centroids.tolist() == [0.5, 3.5, 9.0]
    assert squared_error(torch.tensor([10.0, 1, 0, 4, 8, 3]), book.decode()) == 3.0


def test_zeros_are_pinned_and_no_cluster_is_spent_on_them():
    weight = torch.tensor([0.0, 0, 0, 0, 1, 1.5, -3, -0.0])
    book = share_weights(weight, 2)
    assert book.centroids.tolist() == [-3.0, 1.25]
    assert book.mask is not None
    assert book.mask.tolist() == [False] * 4 + [True] * 3 + [False]
    assert book.decode().tolist() == [0, 0, 0, 0, 1.25, 1.25, -3, 0]
    assert book.counts().tolist() == [1, 2]
    assert book.bits == 2  # three values: two centroids and zero
    free = share_weights(weight, 2, keep_zeros=False)
    assert free.mask is None
    assert free.centroids.tolist() == [-3.0, pytest.approx(2.5 / 7)]


@pytest.mark.parametrize("init", INIT_METHODS)
@pytest.mark.parametrize(("clusters", "bits"), [(2, 1), (5, 3), (32, 5), (256, 8)])
def test_number_of_clusters_is_meant_literally(init, clusters, bits):
    weight = normal(20, 25, 3)
    book = share_weights(weight, clusters, init=init)
    assert len(book.centroids) == clusters == len(book.decode().unique())
    assert book.bits == bits
    assert book.indices.shape == weight.shape
    assert book.indices.dtype == torch.uint8
    assert book.centroids.dtype == book.decode().dtype == torch.float32
    assert torch.equal(book.centroids, book.centroids.sort().values)
    assert int(book.counts().sum()) == weight.numel()


@pytest.mark.parametrize("init", INIT_METHODS)
@pytest.mark.parametrize("clusters", [2, 5, 17])
@pytest.mark.parametrize("weight", [heavy_tailed(3000), normal(50, 40), heavy_tailed(3000).round()])
def test_ends_in_a_fixed_point(weight, init, clusters):
    assert_fixed_point(weight, share_weights(weight, clusters, init=init))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("name", "clusters"),
    [
        ("LeNet5", 5),
        ("LeNet5", 32),
        ("ResNet20", 5),
        pytest.param("ResNet20", 32, marks=pytest.mark.slow),
    ],
)
def test_never_worse_than_scikit_learn_on_every_layer(name, clusters, dtype):
    torch.manual_seed(0)
    compared = 0
    for layer, parameter in prunable_weights(models.build(name, 10)).items():
        weight = parameter.detach()
        ours = squared_error(weight, share_weights(weight, clusters).decode())
        assert ours <= sklearn_inertia(weight, clusters, dtype) * (1 + 1e-5), layer
        compared += 1
    assert compared == {"LeNet5": 5, "ResNet20": 20}[name]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("clusters", [5, 32, 100])
@pytest.mark.parametrize("seed", range(4))
def test_never_worse_than_scikit_learn_where_clusters_run_empty(clusters, seed, dtype):
    weight = heavy_tailed(2000, seed)
    weight[::3] = 0
    ours = squared_error(weight, share_weights(weight, clusters).decode())
    assert ours <= sklearn_inertia(weight, clusters, dtype) * (1 + 1e-5)


@pytest.mark.parametrize("seed", range(12))
def test_optimal_is_optimal(seed):
    rng = np.random.default_rng(seed)
    values = rng.standard_t(2, 11) if seed % 2 else rng.integers(-4, 5, 11) + 0.5
    clusters = 2 + seed % 4
    if len(np.unique(values)) <= clusters:
        pytest.skip("exact anyway")
    weight = torch.tensor(values, dtype=torch.float32)
    book = share_weights(weight, clusters, init="optimal")
    assert squared_error(weight, book.decode()) == pytest.approx(
        brute_force(weight.numpy(), clusters), rel=1e-5, abs=1e-10
    )


@pytest.mark.parametrize("clusters", [5, 32])
def test_optimal_is_never_above_another_start(clusters):
    weight = heavy_tailed(4000)
    best = squared_error(weight, share_weights(weight, clusters, init="optimal").decode())
    for init in INIT_METHODS:
        assert best <= squared_error(
            weight, share_weights(weight, clusters, init=init).decode()
        ) * (1 + 1e-6)


def test_binned_optimum_is_close_to_the_exact_one():
    points = normal(20_000).double().sort().values

    def cost(cuts):
        return sum(
            float((part - part.mean()).square().sum()) for part in points.tensor_split(cuts[1:-1])
        )

    exact, binned = (
        cost(optimal_cuts(points, 16)),
        cost(optimal_cuts(points, 16, exact=2048, bins=2048)),
    )
    assert exact <= binned <= exact * 1.001


def test_kmeans_plus_plus_follows_its_seed():
    weight = heavy_tailed(3000)
    first, again, other = (
        share_weights(weight, 12, init="kmeans++", seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(first.centroids, again.centroids)
    assert not torch.equal(first.centroids, other.centroids)


@pytest.mark.parametrize("init", INIT_METHODS)
@pytest.mark.parametrize(
    "values",
    [
        [0.5] * 9,
        [0.0] * 9,
        [-2.0],
        [0.0],
        [1.0, 2.0, 2.0, 1.0],
        [0.0, 0.0, 3.0],
        [1e-44, 2e-44],
        [-1e30, 1.0, 2.0],
        [1.0, 1.0 + 2**-23, 5.0, 6.0, 7.0],
    ],
)
def test_fewer_values_than_clusters_lose_nothing(values, init):
    weight = torch.tensor(values)
    book = share_weights(weight, 5, init=init)
    assert torch.equal(book.decode(), weight)
    assert len(book.centroids) == len(weight[weight != 0].unique())
    assert book.bits == math.ceil(math.log2(len(weight.unique())))


@pytest.mark.parametrize("init", INIT_METHODS)
@pytest.mark.parametrize(
    "values",
    [
        [-1e30, *range(1, 50)],
        [1e38, -1e38, *(i * 1e-3 for i in range(1, 4000))],
        [1e-45 * i for i in range(1, 100)],
        [1.0] * 1000 + [i * 1e-30 for i in range(1, 60)],
        [1 + i * 2**-23 for i in range(500)],
        [2.0**24] * 900 + [float(i) for i in range(1, 100)],
        [1.0] * 5000 + [2.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
    ],
)
def test_extreme_values_end_in_sorted_clusters_that_are_all_used(values, init):
    weight = torch.tensor(values)
    book = share_weights(weight, 5, init=init)
    assert len(book.centroids) == 5
    assert (book.counts() > 0).all()
    assert (book.centroids.diff() >= 0).all()
    assert book.centroids.isfinite().all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused_by_name(bad):
    with pytest.raises(UserError, match=r"layer1\.weight holds NaN or infinite"):
        share_weights(torch.tensor([1.0, bad, 2.0]), 2, name="layer1.weight")


def test_an_empty_weight_is_refused_by_name():
    with pytest.raises(UserError, match=r"conv\.weight has no values"):
        share_weights(torch.empty(0, 3), 2, name="conv.weight")


@pytest.mark.parametrize("clusters", [-1, 0, 1, 257])
def test_clusters_out_of_range(clusters):
    with pytest.raises(UserError, match=rf"clusters must be in \[2, 256\], got {clusters}"):
        share_weights(normal(9), clusters)


def test_an_unknown_start_names_the_known_ones():
    with pytest.raises(
        UserError, match=r"init must be one of linear, kmeans\+\+, density, optimal, got random"
    ):
        share_weights(normal(9), 2, init="random")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_formats(dtype):
    weight = normal(400).to(dtype)
    assert torch.equal(share_weights(weight, 4).decode(), share_weights(weight.float(), 4).decode())


def test_the_weight_is_not_touched_and_layout_does_not_matter():
    weight = normal(6, 5, 3, 3)
    before = weight.clone()
    book = share_weights(weight.contiguous(memory_format=torch.channels_last), 4)
    share_weights(weight, 4)
    assert torch.equal(weight, before)
    assert torch.equal(book.indices, share_weights(weight, 4).indices)


def test_share_model_takes_prunable_weights_by_name_with_exceptions():
    model = Flat()
    assert list(share_model(model, 3)) == ["conv.weight", "head.weight"]
    books = share_model(model, 3, layers={"head.weight": 7}, skip=["conv.weight"], batchnorm=True)
    assert {name: len(book.centroids) for name, book in books.items()} == {
        "head.weight": 7,
        "norm.weight": 1,
    }
    assert list(batchnorm_weights(model)) == ["norm.weight"]
    assert list(share_model(Tied(), 3)) == ["first.weight"]


@pytest.mark.parametrize("where", [{"layers": {"norm.weight": 3}}, {"skip": ["norm.weight"]}])
def test_share_model_refuses_names_that_it_does_not_know(where):
    with pytest.raises(
        UserError, match=r"norm\.weight is not a weight .* known are conv\.weight, head\.weight"
    ):
        share_model(Flat(), 3, **where)


def test_share_model_names_the_layer_that_diverged():
    model = Flat()
    model.head.weight.data[1, 1] = math.nan
    with pytest.raises(UserError, match=r"head\.weight holds NaN"):
        share_model(model)


@pytest.mark.parametrize(
    "weight",
    [
        torch.tensor([0.0, 1.5, -2.0, 1.5]),
        torch.zeros(3, 4),
        torch.ones(7),
        torch.arange(256.0).repeat(3) + 1,
        torch.arange(257.0),
    ],
)
def test_exact_codebook_is_exact(weight):
    codebook = exact_codebook(weight)
    assert codebook is not None
    assert torch.equal(codebook.decode(), weight)


@pytest.mark.parametrize(
    "weight",
    [
        normal(500),
        torch.arange(257.0) + 1,
        torch.tensor([-0.0, 1.0]),
        torch.tensor([1.0, math.nan]),
        torch.tensor([1, 2]),
        torch.tensor([1.0, 2.0], dtype=torch.float64),
        torch.empty(0),
    ],
)
def test_exact_codebook_refuses_what_it_cannot_reproduce(weight):
    assert exact_codebook(weight) is None


def test_exact_codebook_looks_at_every_value():
    weight = torch.ones(100_000)
    weight[1:300] = normal(299)
    assert exact_codebook(weight) is None


def test_codebook_without_centroids_decodes_to_zeros():
    mask = torch.zeros(2, 2, dtype=torch.bool)
    book = Codebook(torch.empty(0), torch.zeros(2, 2, dtype=torch.uint8), mask)
    assert torch.equal(book.decode(), torch.zeros(2, 2))
    assert book.bits == 0


# -- weights that do not matter the same --


@pytest.mark.parametrize("init", ["linear", "optimal"])
@pytest.mark.parametrize("seed", range(5))
def test_an_importance_of_3_is_like_3_equal_weights(init, seed):
    weight = normal(60, seed=seed)
    importance = torch.randint(1, 6, (60,), generator=torch.Generator().manual_seed(seed))
    weighted = share_weights(weight, 4, init=init, importance=importance.double())
    repeated = share_weights(weight.repeat_interleave(importance), 4, init=init)
    torch.testing.assert_close(weighted.centroids, repeated.centroids)
    assert torch.equal(weighted.indices.repeat_interleave(importance), repeated.indices)


def test_weighted_clusters_by_hand():
    """A weight that matters 9 times as much as its neighbour pulls their centroid to itself."""
    weight = torch.tensor([[-1.0, -2.0], [0.0, 3.0]])
    importance = torch.tensor([[9.0, 1.0], [100.0, 1.0]])
    book = share_weights(weight, 2, init="optimal", importance=importance)
    torch.testing.assert_close(book.centroids, torch.tensor([-1.1, 3.0]))
    assert book.mask is not None
    assert book.mask.tolist() == [[True, True], [False, True]]


@pytest.mark.parametrize("seed", range(5))
def test_the_weighted_optimum_is_the_least_of_all_cuts(seed):
    weight, _ = normal(12, seed=seed).sort()
    importance = normal(12, seed=seed + 100).square() + 0.01
    book = share_weights(weight, 3, init="optimal", importance=importance)

    def cost(begin, end):
        part, factor = weight[begin:end].double(), importance[begin:end].double()
        mean = (factor * part).sum() / factor.sum()
        return float((factor * (part - mean).square()).sum())

    least = min(
        cost(0, a) + cost(a, b) + cost(b, 12) for a, b in itertools.combinations(range(1, 12), 2)
    )
    error = (weight - book.decode()).double().square() * importance.double()
    assert float(error.sum()) == pytest.approx(least, rel=1e-5)


def test_an_empty_cluster_moves_also_where_weights_matter_differently():
    weight = torch.cat([normal(200) * 0.01, torch.tensor([5.0, 10.0])])
    importance = torch.linspace(0.5, 2.0, 202)
    book = share_weights(weight, 8, init="linear", importance=importance)
    assert bool((book.counts() > 0).all())
    for index in range(8):
        chosen = book.indices == index
        mean = (weight * importance)[chosen].sum() / importance[chosen].sum()
        assert float(book.centroids[index]) == pytest.approx(float(mean), abs=1e-6)
