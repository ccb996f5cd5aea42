import pytest

from pipeline.errors import most_telling


@pytest.mark.parametrize(
    "codes, telling",
    [
        ([0], 0),
        ([0, 0], 0),
        ([0, 76], 76),
        ([76, 137], 137),
        ([1, 137, 76], 1),
        ([137, 75], 75),
        ([76, 75, 0], 75),
        ([75, 74], 74),
        ([74, 76, 70], 70),
        ([70, 65], 65),
        ([65, 64, 137], 64),
    ],
)
def test_the_code_that_says_most_wins(codes, telling):
    assert most_telling(codes) == most_telling(codes[:1] + codes[:0:-1]) == telling
