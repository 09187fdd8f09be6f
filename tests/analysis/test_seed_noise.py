"""Seed variance against direct estimates, limma's formulas and simulation."""

import math

import numpy as np
import pytest
import scipy.special

from bitskip.analysis.levels import levels_of
from bitskip.analysis.seed_noise import known_noise, moderate, seed_noise
from bitskip.trial.config import make_trial


def cells(deviations, seeds=3, random=0, shift=0.0, repeats=1):
    """Values by cell and seed; `deviations` by (bits, hadamard); `repeats` cells of each."""
    source = np.random.default_rng(random)
    shifts = source.normal(0, shift, seeds)
    found = {}
    for (bits, hadamard), sd in deviations.items():
        for weight in range(repeats):
            levels = levels_of(make_trial(bits=bits, hadamard=hadamard, exit_weight=float(weight)).axes())
            found[levels] = {seed: float(shifts[seed] + source.normal(0, sd)) for seed in range(seeds)}
    return found


SIX = {(bits, h): 0.01 * (1 + (bits == 4) + 2 * (h != "none")) for bits in (16, 8, 4) for h in ("none", "bitnet-v2")}


def test_noisier_groups_get_larger_variances_between_their_own_and_the_pooled_one():
    values = cells(SIX, seeds=4, repeats=6)
    noise = seed_noise(values)
    fourbit = next(levels for levels in values if levels[0][0] == 4 and levels[1][0] != "none")
    plain = next(levels for levels in values if levels[0][0] == 16 and levels[1][0] == "none")
    assert noise.of(plain)[0] < noise.variance < noise.of(fourbit)[0]
    assert noise.of(fourbit)[0] == pytest.approx(0.04**2, rel=0.6)
    assert noise.of(plain)[1] > 6 * 3 * 0.8
    assert noise.precision(fourbit, 4) < 4 < noise.precision(plain, 4)


def test_moderation_follows_smyth():
    groups = {name: (variance, 5.0) for name, variance in zip("abcdef", (1, 2, 9, 0.5, 30, 4), strict=True)}
    z = np.log([variance for variance, _ in groups.values()])
    e = z - scipy.special.digamma(2.5) + math.log(2.5)
    scatter = e.var(ddof=1) - scipy.special.polygamma(1, 2.5)
    half = next(h for h in np.linspace(0.01, 50, 500_000) if scipy.special.polygamma(1, h) < scatter)
    prior = math.exp(e.mean() + scipy.special.digamma(half) - math.log(half))
    found = moderate(groups)
    for name, (variance, df) in groups.items():
        expected = (2 * half * prior + df * variance) / (2 * half + df)
        assert found[name][0] == pytest.approx(expected, rel=1e-2)
        assert found[name][1] == pytest.approx(2 * half + df, rel=1e-2)


def test_equal_or_few_groups_are_pooled():
    assert moderate(dict.fromkeys("abcd", (1.0, 8.0))) == {}
    assert moderate({"a": (1.0, 8.0), "b": (50.0, 8.0)}) == {}


def test_the_common_shift_is_told_from_the_noise():
    found = [seed_noise(cells(SIX, seeds=5, repeats=5, shift=0.1, random=r)) for r in range(40)]
    assert np.mean([noise.shift_variance for noise in found]) == pytest.approx(0.01, rel=0.3)
    assert np.mean([noise.variance for noise in found]) == pytest.approx(
        np.mean(np.array(list(SIX.values())) ** 2), rel=0.1
    )
    assert np.mean([noise.unpaired for noise in found]) == pytest.approx(0.01, rel=0.3)
    assert found[0].shift_df == 4


def test_without_repeats_nothing_is_known():
    noise = seed_noise(cells(SIX, seeds=1))
    assert noise.variance is None
    with pytest.raises(ValueError, match="no cell was repeated"):
        noise.of(levels_of({}))
    assert known_noise(0.05).of(levels_of({})) == (pytest.approx(0.0025), math.inf)


def favoured(random, favour, seeds=3):
    """Eighteen cells whose seeds shift each technique's level by `favour` and each cell by 0.01."""
    source = np.random.default_rng(random)
    found = {}
    drawn = {}
    for bits in (16, 8, 4):
        for hadamard in ("none", "bitnet-v2"):
            for weight in (0.0, 0.1, 0.3):
                levels = levels_of(make_trial(bits=bits, hadamard=hadamard, exit_weight=weight).axes())
                found[levels] = {
                    seed: source.normal(0, 0.01)
                    + sum(
                        drawn.setdefault((seed, level), source.normal(0, favour)) for level in (bits, hadamard, weight)
                    )
                    for seed in range(seeds)
                }
    return found


def test_what_seeds_do_to_techniques_is_told_from_the_rest():
    noise = seed_noise(favoured(1, 0.05, seeds=6))
    main, _, rest = noise.by_technique.squares
    assert rest == pytest.approx(0.01**2, rel=0.5)
    assert main > 20 * rest
    assert noise.own_variance == rest
    assert noise.variance > 5 * rest
    assert seed_noise(favoured(1, 0.05), "pooled").by_technique is None
