"""Running out of memory is one line with the setting to try."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from recstage.data.interactions import Interactions
from recstage.errors import OutOfMemory
from recstage.models.baselines.popularity import Popularity
from recstage.models.factorization.als import ALS, ALSParams
from recstage.models.memory import told_by_setting
from recstage.models.ncf.params import NcfParams


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore lines"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_the_batch_size_to_try_is_half_of_the_one_that_was_too_large(error: Exception) -> None:
    with pytest.raises(OutOfMemory) as caught, told_by_setting("neumf", NcfParams(batch_size=4096)):
        raise error

    assert str(caught.value).startswith("a fit of neumf with batch_size = 4096: it needs more memory")
    assert str(caught.value).endswith("Try -P model.params.batch_size=2048.")
    assert "\n" not in str(caught.value)


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes do not match"), told_by_setting("neumf", NcfParams()):
        raise RuntimeError("shapes do not match")


def test_a_fit_tells_it_by_its_own_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    train = Interactions.from_frame(pd.DataFrame({"user_id": list("aabbcc"), "item_id": list("xyxyxy")}))

    def too_much(*_: Any, **__: Any) -> None:
        np.empty(1 << 62, np.int8)

    monkeypatch.setattr(ALS, "_fit", too_much)
    monkeypatch.setattr(Popularity, "_fit", too_much)

    with pytest.raises(OutOfMemory, match=r"a fit of als with factors = 64: .*Try -P model\.params\.factors=32"):
        ALS(ALSParams(factors=64)).fit(train, seed=1)
    with pytest.raises(OutOfMemory, match="Take fewer rows, or a machine with more memory"):
        Popularity().fit(train, seed=1)
