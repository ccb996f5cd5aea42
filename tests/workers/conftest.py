import contextlib
from collections.abc import Iterator

import pytest
from company import Company


@pytest.fixture
def job() -> Iterator:
    with contextlib.ExitStack() as closing:
        yield lambda count: Company(count, closing)
