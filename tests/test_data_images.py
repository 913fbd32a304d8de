"""Images in folders, in the archives of published sets, and in the data sets of other libraries."""

import hashlib
import io
import json
import sys
import tarfile
import zipfile
from types import SimpleNamespace

import helpers
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import Pairs

from lifelong.data import (
    cifar10,
    cifar100,
    from_huggingface,
    from_tensorflow,
    from_torch,
    images,
    load,
    omniglot,
    published,
)
from lifelong.errors import LifelongError

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
RNG = np.random.default_rng(0)


def message(error: pytest.ExceptionInfo[LifelongError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def noise(*shape):
    return RNG.integers(0, 256, shape, np.uint8)


# --- folders ---------------------------------------------------------------------------------


def test_a_folder_of_grey_images(tmp_path):
    made = {(c, i): save(tmp_path / c / f"{i}.png", noise(4, 6)) for c in "ab" for i in range(1, 12)}
    data = load(tmp_path)
    assert data.name == tmp_path.name
    assert data.classes == ("a", "b")
    assert data.train.x.shape == (18, 4, 6)
    assert data.train.x.dtype == np.uint8
    for part in (data.train, data.test):
        for sample, label, place in zip(part.x, part.y, part.id, strict=True):
            assert (sample == made["ab"[label], place % 11 + 1]).all()  # 2.png before 10.png


def test_train_and_test_folders_and_colours(tmp_path):
    for part, n in (("train", 3), ("test", 1)):
        for c in "ab":
            for i in range(n):
                save(tmp_path / part / c / f"{i}.png", noise(5, 5))
    red = save(tmp_path / "train" / "b" / "z.png", np.full((5, 5, 3), (255, 0, 0), np.uint8))
    save(tmp_path / "train" / "b" / ".hidden.png", noise(9, 9))
    data = images(tmp_path, name="mine")
    assert data.name == "mine"
    assert data.train.x.shape == (7, 5, 5, 3)
    assert len(data.test) == 2
    assert (data.train.x[-1] == red).all()
    assert (data.train.x[0, ..., 0] == data.train.x[0, ..., 2]).all()
    assert images(tmp_path / "train", tmp_path / "test").train.fingerprint() == data.train.fingerprint()


def test_images_are_resized_turned_and_made_alike(tmp_path):
    for i, size in enumerate([(4, 4), (8, 8), (6, 2)]):
        save(tmp_path / "a" / f"{i}.png", np.full(size, 50, np.uint8))
    palette = Image.fromarray(np.full((3, 3, 3), (10, 20, 30), np.uint8)).convert("P")
    palette.save(tmp_path / "a" / "p.gif")
    data = images(tmp_path, size=(2, 3, 1))
    assert data.train.x.shape[1:] == (2, 3)
    assert images(tmp_path, size=5).train.x.shape[1:] == (5, 5, 3)
    sideways = Image.Exif()
    sideways[0x0112] = 6
    for i in range(3):
        save(tmp_path / "turned" / "a" / f"{i}.jpg", noise(4, 6), exif=sideways)
    assert images(tmp_path / "turned").train.x.shape[1:] == (6, 4)


def test_bad_folders_of_images(tmp_path, monkeypatch):
    for i in range(3):
        save(tmp_path / "one" / "a" / f"{i}.png", noise(3, 3))
    save(tmp_path / "one" / "b" / "0.png", noise(3, 4))
    cases = {"one": "b/0.png has 3 x 4 pixels, the first image 3 x 3: give the size"}
    save(tmp_path / "deep" / "a" / "0.png", RNG.integers(0, 9999, (3, 3), np.uint16))
    cases["deep"] = "has pixels of more than 8 bits"
    (tmp_path / "broken" / "a").mkdir(parents=True)
    (tmp_path / "broken" / "a" / "0.png").write_bytes(b"\x89PNG junk")
    cases["broken"] = "cannot read"
    save(tmp_path / "cut" / "a" / "0.png", noise(99, 99))
    whole = (tmp_path / "cut" / "a" / "0.png").read_bytes()
    (tmp_path / "cut" / "a" / "0.png").write_bytes(whole[: len(whole) // 2])
    cases["cut"] = "cannot read"
    save(tmp_path / "flat" / "0.png", noise(3, 3))
    cases["flat"] = "holds no images: give one folder of them a class"
    for folder, says in cases.items():
        with pytest.raises(LifelongError) as error:
            load(tmp_path / folder)
        assert says in message(error), folder
    with pytest.raises(LifelongError) as error:
        load(tmp_path / "one", image_size=(0, 3))
    assert "as in 32x32" in message(error)
    with pytest.raises(LifelongError) as error:
        load(tmp_path / "one", missing="mean")
    assert "missing is for tables" in message(error)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(LifelongError) as error:
        load(tmp_path / "one")
    assert "pip install" in message(error)


# --- published sets --------------------------------------------------------------------------


@pytest.fixture
def given(tmp_path, monkeypatch):
    """An empty folder of data, and checksums that are those of what a test puts there."""
    monkeypatch.setenv("LIFELONG_DATA", str(tmp_path))
    monkeypatch.setenv("LIFELONG_CACHE", str(tmp_path / "cache"))
    return tmp_path


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def tar(path, **files):
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w:gz") as out:
        for name, content in files.items():
            member = tarfile.TarInfo(
                name.replace("__", "/").replace("_txt", ".txt").replace("_bin", ".bin")
            )
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))
    return md5(path)


def records(x, *labels):
    """As in the archives: the labels, then all red, all green, all blue pixels of each image."""
    planes = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
    return np.concatenate([*(y[:, None] for y in labels), planes], 1).astype(np.uint8).tobytes()


def test_cifar_archives(given, monkeypatch):
    x, y = noise(60, 32, 32, 3), np.arange(60) % 3
    parts = {
        f"cifar-10-batches-bin__data_batch_{i + 1}_bin": records(x[i * 10 :][:10], y[i * 10 :][:10])
        for i in range(5)
    }
    digest = tar(
        given / "cifar10" / "cifar-10-binary.tar.gz",
        **{"cifar-10-batches-bin__batches.meta_txt": b"airplane\nautomobile\nbird\n\n"},
        **parts,
        **{"cifar-10-batches-bin__test_batch_bin": records(x[50:], y[50:])},
    )
    monkeypatch.setattr(published, "CIFAR10_MD5", digest)
    data = load("cifar10")
    assert data.name == "cifar10"
    assert data.classes == ("airplane", "automobile", "bird")
    assert (data.train.x == x[:50]).all()
    assert (data.test.x == x[50:]).all()
    assert (data.test.y == y[50:]).all()
    assert data.test.id.tolist() == list(range(50, 60))
    digest = tar(
        given / "cifar100" / "cifar-100-binary.tar.gz",
        **{
            "cifar-100-binary__fine_label_names_txt": b"apple\naquarium_fish\nbaby\n",
            "cifar-100-binary__train_bin": records(x[:50], y[:50] * 0 + 9, y[:50]),
            "cifar-100-binary__test_bin": records(x[50:], y[50:] * 0 + 9, y[50:]),
        },
    )
    with pytest.raises(LifelongError) as error:
        cifar100()
    assert "is damaged (wrong checksum)" in message(error)
    monkeypatch.setattr(published, "CIFAR100_MD5", digest)
    data = cifar100()
    assert data.classes == ("apple", "aquarium_fish", "baby")
    assert (data.train.x == x[:50]).all()
    assert (data.train.y == y[:50]).all()


def test_a_part_of_cifar10_in_parquet_says_so(given):
    x, y = noise(12, 32, 32, 3), np.arange(12) % 2
    for name, rows in (("train", slice(10)), ("test", slice(10, 12))):
        encoded = []
        for pixels in x[rows]:
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "png")
            encoded.append({"bytes": file.getvalue(), "path": None})
        (given / "cifar10").mkdir(exist_ok=True)
        columns = {"img": encoded, "label": y[rows]}
        pq.write_table(pa.table(columns), given / "cifar10" / f"{name}.parquet")
    (given / "cifar10" / "labels.json").write_text(json.dumps({"label": ["airplane", "automobile"]}))
    data = cifar10()
    assert data.name == "cifar10-0.012k"
    assert data.classes == ("airplane", "automobile")
    assert (data.train.x == x[:10]).all()
    assert (data.test.y == y[10:]).all()


def test_omniglot_archives_and_arrays_read_alike(given, monkeypatch):
    paper = RNG.random((3, 20, 5, 5)) < 0.8
    names = {"images_background": [("Greek", 0, 2)], "images_evaluation": [("Tagalog", 2, 3)]}
    digests, ranges = {}, {}
    (given / "omniglot").mkdir()
    for part, alphabets in names.items():
        archive = given / "omniglot" / f"{part}.zip"
        with zipfile.ZipFile(archive, "w") as out:
            for alphabet, start, stop in alphabets:
                for c in range(start, stop):
                    for drawer in range(20):
                        file = io.BytesIO()
                        Image.fromarray(paper[c, drawer]).save(file, "png")
                        where = f"{part}/{alphabet}/character{c - start + 1:02d}"
                        out.writestr(f"{where}/{c:04d}_{drawer + 1:02d}.png", file.getvalue())
        digests[part] = md5(archive)
        first = alphabets[0][1]
        ranges[part] = [{"alphabet": a, "start": i - first, "stop": j - first} for a, i, j in alphabets]
    monkeypatch.setattr(published, "OMNIGLOT_MD5", digests)
    data = omniglot()
    assert data.classes == ("Greek/01", "Greek/02", "Tagalog/01")
    assert (len(data.train), len(data.test)) == (45, 15)
    assert (data.train.x.reshape(3, 15, 5, 5) == np.where(paper[:, :15], 0, 255)).all()
    assert (data.test.x.reshape(3, 5, 5, 5) == np.where(paper[:, 15:], 0, 255)).all()
    assert (data.test.id == np.concatenate([c * 20 + np.arange(15, 20) for c in range(3)])).all()
    stream = data.by("alphabet", "class")
    assert [task.name for task in stream] == ["Greek", "Tagalog"]
    assert stream[1].labels.tolist() == [2]
    (given / "omniglot" / "alphabets.json").write_text(json.dumps(ranges))
    for part, chosen in (("images_background", paper[:2]), ("images_evaluation", paper[2:])):
        np.savez(given / "omniglot" / f"{part}.npz", images=chosen)
        (given / "omniglot" / f"{part}.zip").unlink()
    again = omniglot()
    assert again.train.fingerprint() == data.train.fingerprint()
    assert again.test.fingerprint() == data.test.fingerprint()


# --- other libraries -------------------------------------------------------------------------


def test_torch_tensors_have_their_channels_last_here():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x = torch.rand(10, 3, 4, 5)
    data = from_torch(torch.utils.data.TensorDataset(x, torch.arange(10) % 2))
    assert data.train.x.shape == (8, 4, 5, 3)
    assert data.train.x.dtype == np.float32
    assert (data.train.x == x.permute(0, 2, 3, 1).numpy()[data.train.id]).all()
    assert from_torch(Pairs(x[:, :1], [0, 1] * 5)).train.x.shape == (8, 4, 5)
    assert from_torch(Pairs(x[:, 0, 0], [0, 1] * 5)).train.x.shape == (8, 5)


def test_torch_data_sets_of_images_and_arrays_with_classes():
    x = noise(10, 4, 5)
    pictures = [Image.fromarray(pixels) for pixels in x]
    held = Pairs(pictures[:2], [1, 0])
    data = from_torch(Pairs(pictures, [0, 1] * 5, classes=["cat", "dog"]), held, name="pets")
    assert (data.name, data.classes) == ("pets", ("cat", "dog"))
    assert (data.train.x == x).all()
    assert data.test.y.tolist() == [1, 0]
    assert data.test.id.tolist() == [10, 11]
    named = from_torch(Pairs(x, ["dog", "cat"] * 5), classes=["dog", "cat"])
    assert named.classes == ("dog", "cat")
    assert (named.train.y == named.train.id % 2).all()


@pytest.mark.parametrize(
    ("train", "says"),
    [
        (iter([]), "give a map-style data set"),
        (Pairs([], []), "the data set is empty"),
        (Pairs([noise(2, 2), noise(3, 2)], [0, 1]), "sample 1 is uint8[3, 2], the first is uint8[2, 2]"),
        (
            Pairs(noise(4, 2), [0, 1, 2, 0], classes=["a", "b"]),
            "label 2 of sample 2 is none of the 2 classes",
        ),
        ([1, 2], "sample 0 is int, not a pair (x, y)"),
    ],
)
def test_bad_torch_data_sets(train, says):
    with pytest.raises(LifelongError) as error:
        from_torch(train)
    assert says in message(error)


def test_tensorflow_data_sets():
    tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    helpers.one_tensorflow_thread()
    x, y = noise(10, 4, 5, 1), np.arange(10) % 2
    data = from_tensorflow(tf.data.Dataset.from_tensor_slices((x, y)), classes=["a", "b"])
    assert data.classes == ("a", "b")
    assert (data.train.x == x[data.train.id, ..., 0]).all()


class Arrow:
    """As much of a Hugging Face data set as is used."""

    def __init__(self, table, features):
        self.table, self.features = table, features

    column_names = property(lambda self: self.table.column_names)

    def __len__(self):
        return self.table.num_rows

    def __getitem__(self, key):
        if isinstance(key, slice):
            return self.table
        return [Image.open(io.BytesIO(png)) for png in self.table.column(key).to_pylist()]

    def remove_columns(self, names):
        return Arrow(self.table.drop_columns(names), self.features)

    def with_format(self, kind):
        assert kind in ("arrow", None)
        return self


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def made_up(n, pictures=None):
    names = SimpleNamespace(names=["sad", "happy", "never"])
    columns = {"a": np.arange(n), "v": [[i, 1.0] for i in range(n)], "label": np.arange(n) % 2}
    columns["lang"] = ["en" if i < n // 2 else "de" for i in range(n)]
    features = dict.fromkeys(columns) | {"label": names}
    if pictures is not None:
        columns["img"] = [png(p) for p in pictures]
        features["img"] = type("Image", (), {})()
    return Arrow(pa.table(columns), features)


def test_hugging_face_tables():
    data = from_huggingface({"train": made_up(20), "test": made_up(4)}, by="lang", scale="none")
    assert data.classes == ("sad", "happy")
    assert data.encoder.names == ["a", "v[0]", "v[1]"]
    assert (data.train.x[:, 0] == np.arange(20)).all()
    assert (data.train.y == np.arange(20) % 2).all()
    assert data.test.id.tolist() == [20, 21, 22, 23]
    assert [task.name for task in data.by("lang")] == ["en", "de"]
    assert len(from_huggingface(made_up(20)).test) == 4


def test_hugging_face_images():
    x = noise(12, 4, 5)
    data = from_huggingface(made_up(12, x), by="lang")
    assert (data.train.x == x[data.train.id]).all()
    assert (data.train.y == data.train.id % 2).all()
    assert [task.name for task in data.by("lang")] == ["en", "de"]
    assert from_huggingface(made_up(12, x), image_size=(2, 2)).train.x.shape[1:] == (2, 2)


@pytest.mark.parametrize(
    ("data", "options", "says"),
    [
        ({"dev": made_up(4)}, {}, "the data sets are dev: call the one to learn 'train'"),
        (made_up(4), {"target": "lable"}, "unknown column 'lable': did you mean 'label'?"),
        (made_up(4), {"by": "length"}, "unknown column 'length'"),
        (Arrow(pa.table({"a": [1, 2], "label": [0, -1]}), made_up(2).features), {}, "no value in row 2"),
    ],
)
def test_bad_hugging_face_data_sets(data, options, says):
    with pytest.raises(LifelongError) as error:
        from_huggingface(data, **options)
    assert says in message(error)


def test_the_library_itself():
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    names = datasets.ClassLabel(names=["no", "yes"])
    table = datasets.Dataset.from_dict({"text": ["u", "v"] * 10, "label": [0, 1] * 10})
    data = from_huggingface(datasets.DatasetDict({"train": table.cast_column("label", names)}))
    assert data.classes == ("no", "yes")
    assert data.encoder.names == ["text=u", "text=v", "text not seen"]
    x = noise(10, 4, 5, 3)
    pictures = datasets.Dataset.from_dict(
        {"image": [Image.fromarray(p) for p in x], "label": [0, 1] * 5},
        features=datasets.Features({"image": datasets.Image(), "label": names}),
    )
    data = from_huggingface(pictures.select(range(9, -1, -1)))
    assert (data.train.x == x[::-1][data.train.id]).all()
