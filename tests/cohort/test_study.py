import math

import pytest

from neuronat.cohort.study import StudyConfig
from neuronat.errors import ConfigError
from neuronat.pipeline.settings import SegmentConfig


@pytest.mark.parametrize("field", ["memory_gb", "timeout_s", "scans_per_worker"])
@pytest.mark.parametrize("value", [0, -300, math.inf, math.nan])
def test_numbers_that_cannot_be_are_named_by_their_field(field: str, value: float):
    with pytest.raises(ConfigError, match=rf"{field} must be a finite number above 0; got {value:g}"):
        StudyConfig(segment=SegmentConfig(), **{field: value})
