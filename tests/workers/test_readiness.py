import dataclasses
import json

import pytest

from pipeline.errors import ExitCode
from pipeline.workers import fingers
from pipeline.workers.readiness import Facts, Report, listed, problems, read, remarks, table

ADDRESSES = ("h0:9000", "h1:9000", "h2:9000")


def report(k: int, **changes) -> Report:
    facts = {
        "host": f"h{k}",
        "addresses": ADDRESSES,
        "versions": {"python": "3.11.7", "tensorflow": "2.21.0"},
        "gpus": 2,
        "flags": {"steps": 10, "towers": 0, "tower_devices": ""},
        "exposed": [],
        "keyed": True,
    }
    of_facts = {name: changes.pop(name) for name in list(changes) if name in facts or name == "problems"}
    others = [j for j in range(3) if j != k]
    whole = Report(Facts(**facts | of_facts), dict.fromkeys(others, "ok"), dict.fromkeys(others, 0.1), True)
    return dataclasses.replace(whole, **changes)


def three(**changes) -> dict[int, Report]:
    """Reports of three workers of which the last differs."""
    return {0: report(0), 1: report(1), 2: report(2, **changes)}


def the_problem(reports) -> tuple[int, str]:
    [(code, text)] = problems(ADDRESSES, reports)
    return code, text


def test_workers_that_agree_have_no_problem():
    assert problems(ADDRESSES, three()) == []
    assert remarks(three()) == ["the chief has python 3.11.7, tensorflow 2.21.0"]


@pytest.mark.parametrize(
    "changes, text",
    [
        ({"versions": {"python": "3.11.7"}}, "its version of tensorflow is None, the chief's 2.21.0; make them equal"),
        ({"gpus": 1}, "its number of GPUs is 1, the chief's 2; make them equal"),
        (
            {"flags": {"steps": 9, "towers": 0, "tower_devices": ""}},
            "its --steps is 9, the chief's 10; make them equal",
        ),
        ({"addresses": ("h0:9000",)}, "its list of workers is h0:9000, the chief's h0:9000,h1:9000,h2:9000; make"),
    ],
)
def test_in_what_a_worker_differs_is_named(changes, text):
    code, said = the_problem(three(**changes))
    assert code == ExitCode.USAGE and said.startswith(f"worker 2 (h2) differs from the chief: {text}")


def test_gpus_may_differ_where_towers_are_chosen():
    flags = {"steps": 10, "towers": 2, "tower_devices": ""}
    assert (
        problems(
            ADDRESSES, {0: report(0, flags=flags), 1: report(1, flags=flags, gpus=8)} | {2: report(2, flags=flags)}
        )
        == []
    )


@pytest.mark.parametrize("ahead, told", [(1.9, False), (-1.9, False), (2.1, True), (-2.1, True)])
def test_clocks_agree_within_two_seconds(ahead, told):
    reports = {**three(), 0: report(0, clocks={1: 0.0, 2: ahead})}
    assert bool(problems(ADDRESSES, reports)) == told
    if told:
        assert the_problem(reports)[1].startswith(f"the clock of worker 2 (h2) is {ahead:+.1f} s from the chief's")


@pytest.mark.parametrize(
    "way, code", [("unknown", 64), ("refused", 76), ("unreachable", 76), ("strange", 64), ("no UDP", 76)]
)
def test_who_cannot_be_reached_is_told_once_with_all_who_tried(way, code):
    reports = {k: report(k, ways={j: "ok" for j in range(2) if j != k} | {2: way}) for k in range(2)}
    found_code, text = the_problem(reports)
    assert found_code == code
    assert text.startswith("worker 2 at h2:9000 cannot be reached from worker 0 (h0), worker 1 (h1): ")


def test_who_is_reached_and_says_nothing_is_told():
    reports = three()
    del reports[2]
    code, text = the_problem(reports)
    assert code == ExitCode.PEER_LOST and "worker 2 at h2:9000 answers, but does not reach the chief" in text


def crowd(*silent: int, **changes) -> tuple[tuple[str, ...], dict[int, Report]]:
    """The addresses of forty workers that ask their contacts, and the reports of those that are there."""
    addresses, reports = tuple(f"h{k}:9000" for k in range(40)), {}
    for k in set(range(40)) - set(silent):
        asked = fingers.contacts(k, 40)
        ways = {j: "refused" if j in silent else "ok" for j in asked}
        one = report(k, addresses=listed(addresses), ways=ways, clocks=dict.fromkeys(asked, 0.0))
        reports[k] = dataclasses.replace(one, **changes.get(f"h{k}", {}))
    return addresses, reports


def test_of_many_the_contacts_of_one_who_is_not_there_name_it_and_a_report_has_one_size():
    assert problems(*crowd()) == []
    addresses, reports = crowd(21)
    [(code, text)] = problems(addresses, reports)
    askers = ", ".join(f"worker {k} (h{k})" for k in fingers.neighbours(21, 40))
    assert code == ExitCode.PEER_LOST and text.startswith(f"worker 21 at h21:9000 cannot be reached from {askers}: TCP")
    assert table(addresses, reports)[22].split()[:4] == ["21", "h21:9000", "?", "refused"]
    assert " by all who ask " in table(addresses, reports)[1]
    sizes = [len(json.dumps(dataclasses.asdict(one))) for one in reports.values()]
    assert max(sizes) < 1200 and listed(addresses * 25)[0].startswith("1000 of SHA-256 ")


def test_one_worker_alone_is_judged_without_addresses():
    assert problems((), {0: report(0, ways={}, clocks={})}) == []


def test_of_many_one_whose_contacts_are_all_silent_is_told_of_too():
    asks_21 = [k for k in range(1, 40) if 21 in fingers.contacts(k, 40)]
    addresses, reports = crowd(21, *asks_21)
    told = [text for _, text in problems(addresses, reports) if text.startswith("worker 21 ")]
    assert told == [
        "worker 21 at h21:9000 told the chief nothing, nor did those that ask it; start it, and see what it says itself"
    ]


def test_of_many_lists_that_differ_are_told_by_their_hashes():
    addresses, reports = crowd()
    other = listed((*addresses[:-1], "h40:9000"))
    reports[7] = dataclasses.replace(reports[7], facts=dataclasses.replace(reports[7].facts, addresses=other))
    [(_, text)] = problems(addresses, reports)
    assert f"its list of workers is {other[0]}, the chief's {listed(addresses)[0]}; make them equal" in text


@pytest.mark.parametrize("ahead, told", [(-1.9, 0), (2.1, 1), (-2.1, 1)])
def test_of_many_a_clock_is_compared_by_the_worker_where_the_chief_does_not_ask_it(ahead, told):
    assert 21 not in fingers.contacts(0, 40)
    addresses, reports = crowd(h21={"clocks": {0: -ahead}})
    texts = [text for _, text in problems(addresses, reports)]
    assert len(texts) == told and all(f"the clock of worker 21 (h21) is {ahead:+.1f} s" in text for text in texts)


def test_problems_on_a_workers_own_host_come_first():
    own = (ExitCode.STORAGE, "the disk is gone")
    assert problems(ADDRESSES, three(problems=[own], gpus=0))[0] == own


def test_a_run_directory_of_ones_own_is_remarked_upon():
    assert problems(ADDRESSES, three(sees_run_dir=False)) == []
    assert (
        "run directory of worker 2 (h2) is not the chief's: the chief's state is sent"
        in remarks(three(sees_run_dir=False))[1]
    )


def test_the_table_has_a_row_for_every_worker_also_for_those_without_a_word():
    reports = {
        0: report(0, ways={1: "ok", 2: "refused"}),
        1: report(1, ways={0: "ok", 2: "refused"}, sees_run_dir=False),
    }
    assert table(ADDRESSES, reports) == [
        "worker  address  host  reached  clock    run directory  GPUs",
        "0       h0:9000  h0    by all   +0.00 s  the chief's    2",
        "1       h1:9000  h1    by all   +0.10 s  its own        2",
        "2       h2:9000  ?     refused  ?        ?              ?",
    ]


def test_who_listens_on_a_network_is_told_with_the_remedy():
    [_, told] = remarks(three(exposed=["10.0.0.2:9000", "[fd00::2]:9000"]))
    assert told.startswith(
        "listening on a network: worker 2 (h2) at 10.0.0.2:9000, [fd00::2]:9000: TensorFlow's runtime"
    )
    assert "launch/ssh.sh --dry_run prints a firewall's rules" in told


def test_messages_without_a_seal_are_told():
    [_, told] = remarks(three(keyed=False))
    assert told.startswith(
        "the workers' own messages are not sealed: start the job with a launcher, or give all workers"
    )
    assert remarks({0: report(0, keyed=False)})[1:] == [], "one worker alone sends none"


def as_sent(**changes) -> dict:
    return json.loads(json.dumps(dataclasses.asdict(report(2, **changes))))


def test_a_report_comes_as_it_was_sent():
    sent = report(2, problems=[(74, "the disk is gone")], exposed=["10.0.0.2:9000"], addresses=list(ADDRESSES))
    assert read(json.loads(json.dumps(dataclasses.asdict(sent)))) == sent


@pytest.mark.parametrize("name", ["host", "addresses", "versions", "gpus", "flags", "problems", "exposed"])
@pytest.mark.parametrize("value", [None, 5, [5], "x", {"a": 1}, [[1, 2]], [["x", "y"]]])
def test_a_report_of_other_types_is_none(name, value):
    sent = as_sent()
    sent["facts"][name] = value
    right = {"host": "x", "gpus": 5, "versions": {"a": 1}, "flags": {"a": 1}}
    assert (read(sent) is not None) == (right.get(name, 0) == value or ((name, value) == ("problems", {})))


@pytest.mark.parametrize(
    "told", [None, 5, "x", [], {}, {"facts": {}}, {"facts": {"host": "h"}, "ways": {}, "clocks": {}}]
)
def test_what_is_no_report_is_none(told):
    assert read(told) is None


@pytest.mark.parametrize("change", [{"ways": 5}, {"ways": {"a": "ok"}}, {"clocks": {"0": "x"}}, {"clocks": None}])
def test_ways_and_clocks_of_other_types_make_it_none(change):
    assert read(as_sent() | change) is None
