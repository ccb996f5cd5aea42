"""csv:FILE: rows of pictures; every row that cannot be used is named."""

import os

import pytest
import tensorflow as tf
from picture_folders import fill, picture, write

from pipeline import sources
from pipeline.config import Config
from pipeline.errors import BadDataError, UsageError
from pipeline.sources import fingerprints


@pytest.fixture
def root(tmp_path):
    fill(tmp_path / "pictures")
    return tmp_path


def rows(root):
    return [f"pictures/{path.parent.name}/{path.name}" for path in sorted(root.glob("pictures/*/*"))]


def open_splits(root, text, name="list.csv", **flags):
    (root / name).write_text(text)
    return sources.open_splits(Config(**{"source": f"csv:{root}/{name}", "validation_fraction": 0.25, **flags}))


def refusal(root, text, name="list.csv", error=BadDataError, **flags):
    with pytest.raises(error) as caught:
        open_splits(root, text, name, **flags)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(root), "ROOT")


def levels(source):
    raw, labels = source.fetch(tf.range(len(source), dtype=tf.int64))
    return dict(zip(source.decode(raw).numpy()[:, 0, 0, 0].tolist(), labels.numpy().tolist(), strict=True))


def test_numbers_names_and_splits_that_are_carved_off(root):
    text = "label,path\n" + "".join(f"{2 if 'bee' in path else 1},{path}\n" for path in rows(root))
    (root / "names").write_text("Ameise\nBiene\n")
    for flags, names in (({}, ("0", "1")), ({"class_names": str(root / "names")}, ("Ameise", "Biene"))):
        splits = open_splits(root, text, **flags)
        assert splits.train.class_names == names
        found = [levels(split) for split in vars(splits).values()]
        assert sorted(level for some in found for level in some) == [*range(10, 16), *range(200, 206)]
        assert all(label == int(level >= 200) for some in found for level, label in some.items())


def test_weights_follow_their_pictures_into_the_splits_and_are_part_of_the_data(root):
    listed = rows(root)
    of_path = {path: 0.5 * number for number, path in enumerate(listed)}
    text = "path,label,weight\n" + "".join(f"{p},{'bee' in p},{weight}\n" for p, weight in of_path.items())
    splits = open_splits(root, text, image_size="8x8")
    for split in vars(splits).values():
        places = [split.where(i).removeprefix(f"{root}/") for i in range(len(split))]
        assert split.weights.tolist() == [of_path[place] for place in places]
    plain = open_splits(root, "path,label\n" + "".join(f"{p},{'bee' in p}\n" for p in listed))
    assert plain.train.weights is None and "weights" not in plain.spec.fingerprint
    others = open_splits(root, text.replace(",5.5\n", ",6\n"), image_size="8x8")
    assert "weights in train" in fingerprints.differences(splits.spec.fingerprint, others.spec.fingerprint)


def test_one_file_name_twice_and_columns_that_are_not_read(root, caplog):
    write(root / "more" / "ant" / "0.png", picture(77))
    paths = [*rows(root), "more/ant/0.png"]
    splits = open_splits(root, "path,width,label\n" + "".join(f"{p},5,{'bee' in p}\n" for p in paths))
    assert len(splits.train) + len(splits.validation) + len(splits.test) == 13
    assert "list.csv: not read of its columns: width" in caplog.text
    assert [splits.train.where(i) for i in range(13 - 6)].count(f"{root}/more/ant/0.png") <= 1


BAD = {
    "no label column": ("path,class\na,1\n", "ROOT/list.csv has no column label, but path, class; name its columns in"),
    "nothing": ("", "ROOT/list.csv has no column path, but nothing; name its columns in its first line"),
    "no rows": ("path,label\n", "ROOT/list.csv has no rows; give each picture one"),
    "two columns": ("path,label,path\n", "ROOT/list.csv has two columns path; remove or rename one"),
    **{
        f"the weight {weight}": (
            f"path,label,weight\na,1,{weight}\n",
            f'ROOT/list.csv: line 2 has the weight "{weight}"; give a number of 0 or more',
        )
        for weight in ("", "-1", "nan", "inf", "1e39", "heavy")
    },
    "several labels": (
        "path,label,labels\n",
        "has a column labels, and an example has one label; give --multi_lab",
    ),
    "a value too many": ("path,label\na,1,2\n", "line 2 has 3 values and the header 2 columns; correct it"),
    "an open quote": (
        'path,label\n"a,1\n',
        "ROOT/list.csv: line 2 cannot be read (unexpected end of data); correct it",
    ),
    "no label": (
        "path,label\na,1\nb,\n",
        'ROOT/list.csv: line 3 has the label ""; give a whole number or a text of one',
    ),
    "no path": ("path,label\n,1\n", 'ROOT/list.csv: line 2 has the path ""; give the path of a picture'),
    "a long path": (f"path,label\n{'a' * 4096},1\n", f'line 2 has the path "{"a" * 59}; give the path of a picture'),
    "a split": ("path,label,split\na,1,dev\n", "ROOT/list.csv: line 2 has the split dev; give train, val or test"),
    "no split": ("path,label,split\na,1,train\nb,1,\n", "line 3 has no split, other lines do; give train, val or test"),
    "no train": ("path,label,split\na,1,test\n", "ROOT/list.csv has no row of the split train; add pictures to train"),
    "one class": ("path,label\na,1\nb,1\n", "ROOT/list.csv has 1 class; at least 2 are needed"),
    "both": ("path,label\na,1\nb,x\n", "ROOT/list.csv: some labels are numbers and others words, as x; give all the"),
    "HEIC": ("path,label\na.heic,1\n", "ROOT/list.csv: line 2: a.heic cannot be decoded; convert it to PNG or JPEG"),
    "gone": (
        "path,label\npictures/ant/0.png,1\ngone.png,2\n",
        "ROOT/list.csv: line 3: ROOT/gone.png cannot be read (No such file or directory); replace or remove it",
    ),
    "a directory": (
        "path,label\npictures/ant/0.png,1\npictures,2\n",
        "ROOT/list.csv: line 3: ROOT/pictures cannot be read (it is no regular file); replace or remove it",
    ),
    "a pipe": (
        "path,label\npipe,1\npictures/bee/0.png,2\n",
        "line 2: ROOT/pipe cannot be read (it is no regular file)",
    ),
    "no picture": ("path,label\nlist.csv,1\npictures/ant/0.png,2\n", "ROOT/list.csv begins with 70 61 74 68 2c 6c 61"),
    "a class that is none": (
        "path,label,split\npictures/ant/0.png,ant,train\npictures/bee/0.png,bee,train\npictures/bee/1.png,cow,test\n",
        "ROOT/list.csv: cow is no class of the training examples; correct it or them",
    ),
    "a number that is none": (
        "path,label,split\npictures/ant/0.png,0,train\npictures/bee/0.png,1,train\npictures/bee/1.png,7,test\n",
        "ROOT/list.csv: test has the label 7, which is no class; 2 classes are numbered from 0, as the training exam",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_rows_that_cannot_be_used_are_named(root, name):
    text, said = BAD[name]
    os.mkfifo(root / "pipe")
    assert said in refusal(root, text)


BAD_LINES = {
    "no object": ("[1]\n", 'line 1 is no JSON object; write it as {"path": "a.jpg", "label": "cat"}'),
    "no JSON": ('{"path": "a", "label": 1}\n{\n', "line 2 is no JSON object"),
    "a list of labels": ('{"path": "a", "label": [1]}\n', "line 1 has the label [1]; give a whole number or a text of"),
    "a number for a path": ('{"path": 1, "label": 1}\n', "line 1 has the path 1; give the path of a picture"),
    "a zero byte": ('{"path": "a\\u0000", "label": 1}\n', 'line 1 has the path "a\\u0000"; give the path'),
    "half a character": ('{"path": "a\\ud800", "label": 1}\n', 'line 1 has the path "a\\ud800"; give the path'),
    "a split": ('{"path": "a", "label": 1, "split": 1}\n', "line 1 has the split 1; give train, val or test"),
    "a weight": (
        '{"path": "a", "label": 1, "weight": true}\n',
        "line 1 has the weight true; give a number of 0 or more",
    ),
    "a large weight": (f'{{"path": "a", "label": 1, "weight": 1{"0" * 400}}}\n', "line 1 has the weight 1000000"),
    "a row without a weight": (
        '{"path": "a", "label": 1, "weight": 1}\n{"path": "b", "label": 1}\n',
        "list.jsonl: line 2 and line 1: one has a weight; give all or none",
    ),
    "another row without a label": ('{"path": "a", "label": 1}\n{"path": "a"}\n', "has no column label, but path;"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_lines_of_json_that_cannot_be_used_are_named(root, name):
    text, said = BAD_LINES[name]
    assert said in refusal(root, text, "list.jsonl")


def test_files_that_are_no_table(root):
    assert refusal(root, "", "list.txt", UsageError) == (
        "source=csv:ROOT/list.txt ends with none of .csv, .tsv, .jsonl; rename it"
    )
    (root / "bytes.csv").write_bytes(b"path,label\n\xff,1\n")
    for name, said in (("bytes.csv", "is not UTF-8 text; save it as such"), ("none.csv", "No such file")):
        with pytest.raises(BadDataError, match=said):
            sources.open_splits(Config(source=f"csv:{root}/{name}"))
