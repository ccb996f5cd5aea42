"""Shards in object storage: the data of a disk, read by ranges through a bounded cache, whatever a store does."""

import multiprocessing
import os
import re

import numpy as np
import object_server
import pytest
import tensorflow as tf
from object_server import BUCKET
from picture_folders import encoded, photo
from shard_files import imagenet_records, tar_members, write_records, write_tar

from pipeline import sources
from pipeline.config import Config
from pipeline.errors import BadDataError, StorageError, UsageError
from pipeline.sources import tfrecord
from pipeline.storage import block_cache, remote_files, stores
from pipeline.storage.object_files import ObjectFiles
from pipeline.storage.stores import ChangedError


@pytest.fixture(scope="module")
def server():
    with object_server.serving() as server:
        yield server


@pytest.fixture(scope="module")
def local(tmp_path_factory, server):
    """A directory with the shards of 30 pictures, which lie in the bucket below data/, too."""
    root = tmp_path_factory.mktemp("data")
    for split, count in (("train", 20), ("test", 10)):
        for i in range(count):
            path = root / "D" / split / ("ant", "bee")[i % 2] / f"{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(photo(12, seed=i), "JPEG"))
        records, members = imagenet_records(root / "D" / split), list(tar_members(root / "D" / split).items())
        write_records(root / f"{split}-0.tfrecord", records[:7])
        write_records(root / f"{split}-1.tfrecord", records[7:])
        write_tar(root / f"{split}.tar", dict(members))
    for path in root.glob("*.t*"):
        server.client.upload_file(str(path), BUCKET, f"data/{path.name}")
    return root


@pytest.fixture(autouse=True)
def in_store(server, local, monkeypatch):
    for name, value in {**object_server.CREDENTIALS, "AWS_ENDPOINT_URL": server.url}.items():
        monkeypatch.setenv(name, value)
    server.fault, server.before = None, lambda method, path: True


@pytest.fixture
def config(tmp_path):
    return lambda spec, **flags: Config(
        source=spec, validation_fraction=0.2, data_dir=str(tmp_path / "here"), stall_timeout=5, **flags
    )


TFRECORDS = f"tfrecord:s3://{BUCKET}/data/*.tfrecord"


def counted(server):
    """The GET requests for objects from now on."""
    asked = []
    server.before = lambda method, path: asked.append(path) or True
    return lambda: [path for path in asked if path.startswith("data/")]


def opened(config, examine=False):
    return sources.open_splits(config, examine)


def contents(splits):
    return [split.original(i) for split in vars(splits).values() for i in range(len(split))]


@pytest.mark.parametrize("kind", ["tfrecord", "tar"])
def test_shards_of_a_bucket_are_those_of_a_disk(kind, local, config):
    here = opened(config(f"{kind}:{local}/*.{kind}"))
    there = opened(config(f"{kind}:s3://{BUCKET}/data/*.{kind}"))
    assert there.spec == here.spec and contents(there) == contents(here)
    indices = tf.range(len(here.train), dtype=tf.int64)
    (raw, labels), (its_raw, its_labels) = here.train.fetch(indices), there.train.fetch(indices)
    np.testing.assert_array_equal(labels, its_labels)
    np.testing.assert_array_equal(here.train.decode(raw), there.train.decode(its_raw))
    assert there.train.where(0).startswith(f"s3://{BUCKET}/data/train")
    alone = opened(config(f"{kind}:s3://{BUCKET}/data/train{'-0' * (kind == 'tfrecord')}.{kind}"))
    assert alone.train.class_names == ("ant", "bee")


def test_files_of_other_protocols_of_fsspec_are_read_too(local, config):
    there = opened(config(f"tfrecord:file://{local}/*.tfrecord"))
    assert contents(there) == contents(opened(config(f"tfrecord:{local}/*.tfrecord")))
    path = local / "train-0.tfrecord"
    os.utime(path, (1, 1))
    with pytest.raises(BadDataError, match="changed since the start"):
        block_cache.shutil.rmtree(there.train._source._files._files._cache._directory)
        contents(there)


def test_index_and_pictures_are_read_once(server, config, monkeypatch):
    opened(config(TFRECORDS))
    monkeypatch.setattr(tfrecord, "index_of", lambda *_, **__: pytest.fail("made again"))
    asked = counted(server)
    contents(opened(config(TFRECORDS)))
    assert asked() == []
    contents(opened(config(TFRECORDS, data_cache_mib=0)))
    assert len(asked()) > 30


def test_another_object_is_indexed_anew_and_seen_while_it_is_read(server, local, config):
    name = "other/train.tfrecord"
    records = imagenet_records(local / "D" / "train")
    server.client.put_object(Bucket=BUCKET, Key=name, Body=(local / "train-0.tfrecord").read_bytes())
    spec = f"tfrecord:s3://{BUCKET}/other/*"
    before = opened(config(spec, data_cache_mib=0))
    write_records(local / "new", records)
    server.client.upload_file(str(local / "new"), BUCKET, name)
    with pytest.raises(BadDataError, match=f"s3://{BUCKET}/{name} changed since the start; start the same command"):
        before.train.original(0)
    after = opened(config(spec))
    assert len(after.train) + len(after.validation) + len(after.test) == 20


def test_an_object_that_changes_between_listing_and_reading_is_not_read(server):
    files, address = ObjectFiles("s3", timeout_s=5), f"s3://{BUCKET}/changing"
    server.client.put_object(Bucket=BUCKET, Key="changing", Body=b"123")
    [found] = files.find(address)
    server.client.put_object(Bucket=BUCKET, Key="changing", Body=b"456")
    with pytest.raises(ChangedError):
        files.read(found, 0, 3)
    assert files.read(files.find(f"{address}*")[0], 1, 3) == b"56"


def test_a_store_that_fails_for_a_while_is_asked_again(server, config):
    failing = 3

    def fail(method, path):
        nonlocal failing
        failing -= 1
        return failing < 0

    server.before = fail
    splits = opened(config(TFRECORDS, data_cache_mib=0))
    assert failing < 0
    failing = 3
    assert len(contents(splits)) == 30 and failing < 0


def test_a_store_that_fails_too_long_ends_the_reading(server, config):
    splits = opened(config(TFRECORDS, data_cache_mib=0))
    server.fault = object_server.FAILING
    with pytest.raises(StorageError, match=r"cannot be read for 2\.5 s \(.*internal error.*start the same command"):
        contents(splits)
    server.fault = None
    with pytest.raises(StorageError, match="cannot be read for"):  # no reader waits a second time
        splits.train.original(0)


@pytest.mark.parametrize(
    ("spec", "fault", "error", "said"),
    [
        (TFRECORDS, object_server.EXPIRED, StorageError, "is refused (The provided token has expired"),
        (TFRECORDS, object_server.FAILING, StorageError, "cannot be read for 1 s (We encountered an internal error"),
        ("tar:s3://no-bucket/a/*.tar", None, BadDataError, "matches no file (The specified bucket does not exist"),
        ("tar:s3://no-bucket/a.tar", None, BadDataError, "matches no file ("),
        (f"tar:s3://{BUCKET}/none/*.tar", None, BadDataError, f"matches no file (nothing lies in s3://{BUCKET}/none)"),
        (f"tar:s3://{BUCKET}/data/*.gz", None, BadDataError, "matches no file; correct it"),
        (f"tar:s3://{BUCKET}/data/none.tar", None, BadDataError, "matches no file ("),
    ],
)
def test_addresses_that_cannot_be_used_are_one_line_before_training(
    spec, fault, error, said, server, config, monkeypatch
):
    monkeypatch.setattr(remote_files, "START_S", 1.0)
    server.fault = fault
    with pytest.raises(error, match=re.escape(said)) as caught:
        opened(config(spec), examine=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("tar:s3://", "source=tar:s3:// names no bucket; write it as s3://BUCKET/PREFIX"),
        ("tar:nope://a/b", "source=tar:nope://a/b has an unknown protocol"),
        ("folder:s3://a/b", "source=folder:s3://a/b is no path of this machine; only tfrecord and tar"),
        ("tfrecord:gs://a/*", "source=tfrecord:gs://a/* needs gcsfs, which is not installed; install it: pip install"),
        ("tar:abfs://a/*", "source=tar:abfs://a/* needs a package that is not installed"),
    ],
)
def test_addresses_are_checked_before_a_network_is_touched(spec, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        sources.check(spec)


def test_a_damaged_block_is_read_again(config, server, tmp_path):
    before = contents(opened(config(TFRECORDS)))
    blocks = [path for path in (tmp_path / "here" / "blocks").rglob("*") if path.is_file()]
    assert len(blocks) == 4
    for path in blocks:
        content = bytearray(path.read_bytes())
        content[100] ^= 1
        path.write_bytes(content)
    assert contents(opened(config(TFRECORDS))) == before


def _fill(directory, first):
    cache = block_cache.BlockCache(directory, 10 << 20)
    for number in range(first, first + 120):
        name = f"file-{number % 80}"
        content = bytes([number % 80]) * 200_000
        if cache.read(name, len(content), 7, 9) not in (None, content[7:9]):
            os._exit(1)
        cache.write(name, content)


def test_the_cache_is_bounded_and_shared_by_processes(tmp_path):
    several = multiprocessing.get_context("fork")
    processes = [several.Process(target=_fill, args=(tmp_path, first)) for first in (0, 40, 0)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert 0 < sum(path.stat().st_size for path in kept) <= 10 << 20
    assert not [path for path in kept if path.name.startswith(".part")]
    block_cache.BlockCache(tmp_path, 5 << 20)
    assert not list(tmp_path.rglob("file-*"))


def test_the_blocks_that_were_used_last_stay(tmp_path, monkeypatch):
    cache = block_cache.BlockCache(tmp_path, 3 * (block_cache.BLOCK + 4096))
    for number, name in enumerate(["a", "b", "c"]):
        cache.write(name, b"123")
        os.utime(cache._path(name), (number, number))
    assert cache.read("a", 3, 0, 2) == b"12"
    cache.write("d", b"4")
    assert [cache.read(name, 3, 0, 3) for name in "abc"] == [b"123", None, b"123"]


def test_a_disk_that_refuses_the_cache_is_no_error(config, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "blocks").touch()
    assert len(contents(opened(config(TFRECORDS)))) == 30


def test_a_missing_extra_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(stores.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"needs s3fs, .* install it: pip install 'tower-pipeline\[s3\]'"):
        sources.check(TFRECORDS)
    with pytest.raises(UsageError, match=r"needs fsspec, .* install it: pip install fsspec"):
        sources.check("tar:http://host/a.tar")
