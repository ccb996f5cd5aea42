import pytest

from pipeline.errors import UsageError
from pipeline.workers import hostlists


@pytest.mark.parametrize(
    "text, hosts",
    [
        ("n1", ["n1"]),
        ("n[08-10,2],gpu1", ["n08", "n09", "n10", "n2", "gpu1"]),
        ("n[9-11]", ["n9", "n10", "n11"]),
        ("n[098-101]", ["n098", "n099", "n100", "n101"]),
        ("r[1-2]n[01-02].lab", ["r1n01.lab", "r1n02.lab", "r2n01.lab", "r2n02.lab"]),
        ("n[0-1]:9000, m:9000", ["n0:9000", "n1:9000", "m:9000"]),
        ("127.0.0.[1-2]", ["127.0.0.1", "127.0.0.2"]),
        ("[::1]:9000,[fe80::2]:9000", ["[::1]:9000", "[fe80::2]:9000"]),
    ],
)
def test_hosts_come_in_the_order_of_the_list_and_of_the_numbers(text, hosts):
    assert hostlists.hosts(text) == hosts


@pytest.mark.parametrize(
    "text", ["", " ", ",a", "a,", "a,,b", "a b", "n[1-", "n]", "n[]", "n[a]", "n[1,]", "n[3-1]", "n[[1]]", "n[1-2-3]"]
)
def test_a_list_that_does_not_parse_is_refused(text):
    with pytest.raises(UsageError, match=r"^the host list '.*' does not parse.*; write it as Slurm does, as n\["):
        hostlists.hosts(text)


@pytest.mark.parametrize("text", ["n[0-99999999]", "a[0-999]b[0-999]"])
def test_a_list_beyond_any_cluster_is_refused_at_once(text):
    with pytest.raises(UsageError, match="host list"):
        hostlists.hosts(text)


@pytest.mark.parametrize("text, counts", [("4", [4]), ("2(x3),1", [2, 2, 2, 1]), ("1,2(x1),3(x2)", [1, 2, 3, 3])])
def test_counts(text, counts):
    assert hostlists.counts(text) == counts


@pytest.mark.parametrize("text", ["", "2x3", "2(3)", "a", "2(x3),", "-1"])
def test_counts_that_do_not_parse_are_refused(text):
    with pytest.raises(UsageError, match="does not parse"):
        hostlists.counts(text)
