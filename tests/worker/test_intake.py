"""Checks of uploads in the real sandbox: what the process leaves is believed as far as it can be proven."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pith.dataset import DatasetSchema
from pith.intake import Architecture
from pith.resources import Dataset, Model
from store.settings import Settings
from tests.store.shop import Shop, digest
from worker import supervise
from worker.workplace import Workplace

Check = Callable[..., Model]


@pytest.fixture
def check(shop: Shop, place: Workplace) -> Check:
    """Upload a script as a model and have it checked; it runs instead of the engine's intake."""
    return _checking(shop, place)


@pytest.fixture
def check_freely(shop: Shop, place: Workplace) -> Check:
    """The same without a sandbox."""
    return _checking(shop, replace(place, options=place.options.model_copy(update={"sandbox": "off"})))


def _checking(shop: Shop, place: Workplace) -> Check:
    def checked(script: str) -> Model:
        model = shop.models.create("net.pt2", *shop.blob(script.encode()))
        supervise.run(place, model.check)
        return shop.models.get(model.id)

    return checked


def check_dataset(shop: Shop, place: Workplace, script: str, schema: DatasetSchema | None = None) -> Dataset:
    dataset = shop.datasets.create("data.csv", *shop.blob(script.encode()), schema)
    supervise.run(place, dataset.check)
    return shop.datasets.get(dataset.id)


def pins(shop: Shop) -> list[Path]:
    return list((shop.blobs.root / "pins").iterdir())


def test_a_good_model_is_ready_with_its_facts_and_files(check: Check, shop: Shop, settings: Settings) -> None:
    script = "learn('model.pt2', 'tokenizer.json')"
    model = check(script)
    assert (model.status, model.error) == ("ready", None)
    assert model.facts is not None and [layer.name for layer in model.facts.layers] == ["fc"]
    claim = shop.jobs.claim(shop.jobs.submit(shop.spec(model=model.id)).id, "by hand", 60)
    assert claim is not None
    assert claim.inputs.model.parts == dict.fromkeys(("model.pt2", "tokenizer.json"), digest(script.encode()))  # type: ignore[union-attr]
    assert pins(shop) == []
    assert not list((settings.data_dir / "work").glob("*/*"))


def test_the_process_is_told_what_came_with_the_upload(shop: Shop, place: Workplace) -> None:
    schema = DatasetSchema(label="y")
    dataset = check_dataset(
        shop,
        place,
        """
asked = folder.read_intake()
assert (asked.resource, asked.file_name) == ("dataset", "data.csv")
assert asked.declared.label == "y" and asked.architecture is None
assert asked.digest.startswith("sha256:")
learn()""",
        schema,
    )
    assert dataset.status == "ready", dataset.error
    assert shop.datasets.preview(dataset.id).samples == ({"x": 1},)


def test_an_architecture_comes_without_a_file(shop: Shop, place: Workplace) -> None:
    model = shop.models.create("lenet5", None, 0, Architecture(name="pith/lenet5"))
    supervise.run(place, model.check)
    assert shop.models.get(model.id).status == "ready"


def test_what_the_process_says_of_itself_are_the_events_of_the_check(check: Check, shop: Shop) -> None:
    model = check("events.emit('warning', 'a strange file')\nlearn()")
    events = shop.jobs.events(model.check)
    assert [event.type for event in events] == ["queued", "started", "warning", "succeeded"]


def test_a_refusal_is_the_reason_of_the_rejection(check: Check) -> None:
    model = check("fail(PithError('model_pickled', found='os.system')); code = 1")
    assert model.status == "rejected" and model.error is not None
    assert model.error.code == "model_pickled" and "os.system" in model.error.detail


def test_a_process_that_is_killed_rejects(check: Check) -> None:
    model = check("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert model.status == "rejected" and model.error is not None and model.error.code == "engine_died"


def test_a_check_has_a_time_limit_of_its_own(shop: Shop, place: Workplace) -> None:
    hasty = replace(place, options=place.options.model_copy(update={"intake_time_seconds": 0.5}))
    model = _checking(shop, hasty)("while True: pass")
    assert model.error is not None and model.error.code == "engine_timeout"
    assert "PITH_INTAKE_TIME_SECONDS" in model.error.detail


CHANGE = """
import json
learn()
known = json.loads(folder.learnt.read_text())
facts = known["facts"]
{}
folder.learnt.write_text(json.dumps(known))"""
LAYER = "{'name': 'a', 'kind': 'b', 'shape': [], 'parameters': 1}"
PART = "folder.part('model.pt2')"
LIES = {
    "nothing": ("pass", "no learnt.json"),
    "no JSON": ("learn(); folder.learnt.write_text('{')", "no JSON"),
    "no object": ("learn(); folder.learnt.write_text('[]')", "no object"),
    "nesting": ("learn(); folder.learnt.write_text('[' * 100000)", "no JSON"),
    "a huge number": ("learn(); folder.learnt.write_text('{\"a\": ' + '9' * 9999 + '}')", "no JSON"),
    "an endless file": ("learn(); folder.learnt.open('ab').truncate(17 << 20)", "is the most"),
    "facts of a dataset": ("learn(facts={'format': 'npz'})", "does not validate"),
    "no parts": ("learn(parts=[])", "not those of a model"),
    "an unknown part": ("learn(parts=['../../model.pt2'])", "does not validate"),
    "a part of a dataset": ("learn('model.pt2', 'dataset.arrow')", "not those of a model"),
    "two graphs": ("learn('model.pt2', 'model.onnx')", "not those of a model"),
    "a part twice": ("learn(parts=['model.pt2', 'model.pt2'])", "twice"),
    "a part that is not there": (f"learn(); {PART}.unlink()", "no model.pt2"),
    "a folder for a part": (f"learn(); {PART}.unlink(); {PART}.mkdir()", "no plain file"),
    "no number": (CHANGE.format("facts['parameters'] = float('nan')"), "does not validate"),
    "an infinite number": (CHANGE.format("facts['parameters'] = float('inf')"), "does not validate"),
    "no outputs": (CHANGE.format("facts['outputs'] = []"), "without an input or an output"),
    "too many layers": (CHANGE.format(f"facts['layers'] = [{LAYER}] * 100001"), "100000 is the most"),
    "too many notes": (CHANGE.format("facts['notes'] = ['x'] * 101"), "100 is the most"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_rejects_and_leaves_no_file(check: Check, shop: Shop, lie: str) -> None:
    script, reason = LIES[lie]
    model = check(script)
    assert model.status == "rejected" and model.error is not None
    assert (model.error.code, model.facts) == ("engine_fault", None)
    assert reason in model.error.detail
    assert len(model.error.detail) < 1000


@pytest.mark.parametrize("how", ["symlink", "link", "mkfifo"])
def test_a_link_is_not_followed(check_freely: Check, how: str, settings: Settings) -> None:
    """Without a sandbox, where the process could make one."""
    other = settings.data_dir / "other"
    other.write_bytes(b"somebody else's")
    source = "" if how == "mkfifo" else f"{str(other)!r}, "
    model = check_freely(f"""
import os
learn()
folder.part('model.pt2').unlink()
os.{how}({source}folder.part('model.pt2'))""")
    assert model.error is not None and model.error.code == "engine_fault"
    assert "no plain file" in model.error.detail or "no model.pt2" in model.error.detail


def test_a_file_that_nobody_named_is_not_stored(check: Check, shop: Shop) -> None:
    model = check("folder.part('tokenizer.json').write_bytes(b'not named')\nlearn()")
    assert model.status == "ready"
    assert not shop.blobs.path(model.digest or "").with_name(digest(b"not named")[7:]).exists()
    assert not list(shop.blobs.root.rglob(digest(b"not named").removeprefix("sha256:")))


def test_a_preview_is_bounded(shop: Shop, place: Workplace) -> None:
    script = "learn(preview={'splits': [], 'samples': [{'x': 'a' * %d}] * 3})"
    assert check_dataset(shop, place, script % 600_000).status == "ready"
    error = check_dataset(shop, place, script % 900_000).error
    assert error is not None and "2097152 is the most" in error.detail


def test_texts_are_kept_without_what_deceives_or_breaks_a_database(shop: Shop, place: Workplace) -> None:
    script = r"learn(preview={'splits': [], 'samples': [{'x': 'a\0b\u202ec\ud800d\n', 'y': float('nan'), 'z': 1e999}]})"
    dataset = check_dataset(shop, place, script)
    assert dataset.status == "ready", dataset.error
    (sample,) = shop.datasets.preview(dataset.id).samples
    assert sample == {"x": "a b c d ", "y": None, "z": None}


def test_a_dataset_needs_both_of_its_files(shop: Shop, place: Workplace) -> None:
    error = check_dataset(shop, place, "learn('dataset.arrow')").error
    assert error is not None and "not those of a dataset" in error.detail
