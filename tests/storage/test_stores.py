"""A directory and a bucket are one kind of store."""

import importlib.util
import os

import object_server
import pytest

from pipeline.errors import UsageError
from pipeline.storage import object_store, stores
from pipeline.storage.stores import NotThereError, RefusedError, StoreError

LARGE = os.urandom(11 << 20)  # in three parts


@pytest.fixture(scope="module")
def server():
    with object_server.serving() as server:
        yield server


@pytest.fixture
def in_bucket(server, monkeypatch, request):
    """The address of an empty prefix, for this process."""
    for name, value in {**object_server.CREDENTIALS, "AWS_ENDPOINT_URL": server.url}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(object_store, "PART", 5 << 20)  # the least that S3 takes
    server.fault = None
    return f"s3://{object_server.BUCKET}/{request.node.name}"


@pytest.fixture(params=["directory", "bucket"])
def store(request, tmp_path):
    return stores.opened(
        request.getfixturevalue("in_bucket") if request.param == "bucket" else str(tmp_path / "new" / "store")
    )


def test_files_are_found_again_by_name(store, tmp_path):
    assert store.sizes() == {}
    store.write("a.json", b"first")
    store.write("a.json", b"a second one")
    store.write("below/b", b"12345")
    assert store.sizes() == {"a.json": 12, "below/b": 5}
    assert store.sizes("below/") == {"below/b": 5}
    assert store.read("a.json", 2, 8) == b"second" and store.read("a.json", 0, 1000) == b"a second one"
    store.download("a.json", 8, tmp_path / "here")
    assert (tmp_path / "here").read_bytes() == b"a second"


def test_a_file_that_is_deleted_while_it_is_uploaded_arrives(store, tmp_path):
    path = tmp_path / "large"
    path.write_bytes(LARGE)
    with path.open("rb") as file:
        path.unlink()
        store.upload(file, "deep/er/large")
    store.download("deep/er/large", len(LARGE), path)
    assert path.read_bytes() == LARGE


def test_what_is_removed_is_gone_and_what_is_not_there_is_told_apart(store):
    for name in ("a", "b", "c/d"):
        store.write(name, b"1")
    store.remove(["a", "c/d", "never there"])
    assert store.sizes() == {"b": 1}
    store.remove([])
    with pytest.raises(NotThereError):
        store.read("a", 0, 10)


def test_a_download_asks_before_every_block(store, tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "BLOCK", 4)
    store.write("a", b"123456789")
    asked = []
    store.download("a", 9, tmp_path / "here", lambda: asked.append((tmp_path / "here").exists()))
    assert asked == [True] * 3 and (tmp_path / "here").read_bytes() == b"123456789"


def test_files_that_are_being_written_to_a_directory_are_not_listed(tmp_path):
    (tmp_path / ".part-a").write_bytes(b"tor")
    (tmp_path / "pipe").symlink_to("/dev/zero")
    assert stores.opened(str(tmp_path)).sizes() == {}


def test_a_bucket_that_refuses_is_told_from_one_that_fails(in_bucket, server):
    store = stores.opened(in_bucket)
    server.fault = object_server.EXPIRED
    with pytest.raises(RefusedError, match="The provided token has expired"):
        store.write("a", b"1")
    server.fault = object_server.FAILING
    with pytest.raises(StoreError, match="We encountered an internal error") as failure:
        store.sizes()
    assert type(failure.value) is StoreError
    server.fault = None
    with pytest.raises(NotThereError, match="The specified bucket does not exist"):
        stores.opened("s3://no-such-bucket/prefix").write("a", b"1")


def test_a_server_that_is_gone_is_an_error_of_the_store(in_bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoreError, match="Could not connect"):
        stores.opened(in_bucket).sizes()


def test_without_credentials_a_bucket_refuses(in_bucket, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(RefusedError, match="Unable to locate credentials"):
        stores.opened(in_bucket).sizes()


@pytest.mark.parametrize("address", ["s3://bucket", "s3://bucket/", "s3://my.bucket/a/b-c_d", "/mnt/a", "a b", "~/a:b"])
def test_addresses_of_stores(address):
    stores.check(address, "mirror")


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        ("ftp://host/path", "is no address of a store; use s3://BUCKET/PREFIX"),
        ("S3://bucket/a", "is no address of a store"),
        ("s3://", "names no bucket; write it as s3://BUCKET/PREFIX"),
        ("s3:///path", "names no bucket"),
        ("s3://key:secret@bucket/a", "names no bucket"),
        ("s3://bucket//a", "has an empty part"),
        ("s3://bucket/a/../b", "has an empty part, . or .."),
    ],
)
def test_what_is_no_address_is_refused(address, rule):
    with pytest.raises(UsageError, match=f"mirror={address} {rule}"):
        stores.check(address, "mirror")


def test_a_missing_extra_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"needs gcsfs, .* install it: pip install 'tower-pipeline\[gs\]'"):
        stores.check("gs://bucket/a", "mirror")
