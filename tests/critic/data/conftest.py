"""A corpus in which human music is a riff, and two models that were never trained."""

import pytest
import tiny

from clara.data.corpus import Corpus


@pytest.fixture(scope="package")
def corpus(tmp_path_factory):
    return Corpus.load(tiny.corpus(tmp_path_factory.mktemp("critic"), [tiny.riff(i) for i in range(24)]))


@pytest.fixture(scope="package")
def models(tmp_path_factory):
    """Two models of the same vocabulary."""
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    for seed, folder in enumerate(folders):
        tiny.checkpoint(seed=seed).save(folder)
    return folders
