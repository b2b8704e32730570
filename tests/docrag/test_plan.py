"""What a library of so many pages takes: numbers as people write them, sums that add up, and a recommendation with a reason."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest

from docrag.client import Library
from docrag.errors import IndexMissing, UsageError
from docrag.plan import constants as known
from docrag.plan.constants import Figure, Span
from docrag.plan.estimate import MOST_PAGES, Plan, make_plan, parse_pages
from docrag.plan.model import describe_model
from docrag.plan.text import human_bytes, human_span
from tests.ingest.hostile import text_pdf
from tests.libraries import bring

COLQWEN = "vidore/colqwen2.5-v0.2"
SIZES = (1, 100, 10_000, 1_000_000, 100_000_000, 1_000_000_000)


@pytest.mark.parametrize(
    ("text", "pages"),
    [
        ("10000", 10_000),
        ("10_000", 10_000),
        ("1,000,000", 1_000_000),
        ("1e6", 1_000_000),
        ("1E+9", 10**9),
        ("10k", 10_000),
        ("1M", 10**6),
        ("1.5M", 1_500_000),
        ("1b", 10**9),
        (" 7 ", 7),
        ("1e12", MOST_PAGES),
    ],
)
def test_numbers_of_pages_are_read_as_people_write_them(text: str, pages: int) -> None:
    assert parse_pages(text) == pages


@pytest.mark.parametrize(
    "text",
    [
        "",
        "many",
        "0",
        "-5",
        "1.5",
        "nan",
        "inf",
        "1e400",
        "1e13",
        "1,00,0",
        "1_",
        "_1",
        "10 000",
        "１２",
        "1e",
        "0x10",
        "1e-3",
        "1kk",
    ],
)
def test_nonsense_is_no_number_of_pages(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_plan(text)
    assert caught.value.message == f"--pages is a whole number from 1 to 1,000,000,000,000, got {text!r}"
    assert "1,000,000" in caught.value.hint


@pytest.mark.parametrize(("settings", "told"), [({"gpus": -1}, "got -1"), ({"cpus": 0}, "got 0")])
def test_a_machine_of_nothing_is_refused(settings: dict[str, int], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        make_plan(10, COLQWEN, **settings)


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("vidore/colpali-v1.3", "ColPali"),
        ("vidore/colqwen2-v1.0", "ColQwen2"),
        (COLQWEN, "ColQwen2.5"),
        ("vidore/colqwen2.5-v0.2@main", "ColQwen2.5"),
        ("TomoroAI/tomoro-colqwen3-embed-4b", "ColQwen3"),
        ("athrael-soju/colqwen3.5-4.5B", "ColQwen3.5"),
        ("vidore/colSmol-256M", "ColIdefics3/ColSmol"),
        ("ModernVBERT/colmodernvbert", "ColModernVBERT"),
        ("Cognitive-Lab/ColNetraEmbed-gemma3", "ColGemma3"),
        ("someone/unheard-of", "unknown"),
    ],
)
def test_a_model_of_the_hub_is_known_by_its_name(model: str, family: str) -> None:
    assert describe_model(model).family.name == family


def test_an_unknown_model_is_planned_as_large_as_the_largest_and_told_of() -> None:
    plan = make_plan("10k", "someone/unheard-of")
    assert known.UNKNOWN.vectors.value == max(family.vectors.value for family in known.FAMILIES)
    assert known.UNKNOWN.dim == max(family.dim for family in known.FAMILIES)
    assert any("someone/unheard-of is not known" in note for note in plan.notes)


def test_a_folder_is_known_by_its_configuration(tmp_path: Path) -> None:
    folder = tmp_path / "colpali-by-name"
    folder.mkdir()
    config = folder / "config.json"
    config.write_text(json.dumps({"model_type": "qwen3_vl", "dim": 64}))
    model = describe_model(str(folder))
    assert (model.family.name, model.dim, model.known_by) == ("ColQwen3", 64, "its configuration")
    config.write_text(json.dumps({"model_type": "llama", "architectures": ["ColIdefics3"]}))
    assert describe_model(str(folder)).family.name == "ColIdefics3/ColSmol"


def test_an_adapter_is_known_by_its_base(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "vidore/colqwen2-base"}))
    assert describe_model(str(tmp_path)).family.name == "ColQwen2"


def test_the_tiny_model_is_known(colqwen: Path) -> None:
    assert describe_model(str(colqwen)).family.name == "ColQwen2.5"


@pytest.mark.parametrize("text", ["{", "[]", '"qwen"'])
def test_a_damaged_configuration_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError, match=re.escape(str(tmp_path / "config.json"))):
        describe_model(str(tmp_path))


@pytest.mark.parametrize("model", ["./nowhere", "/nowhere/at/all", "a/b/c", "plain", " "])
def test_a_model_that_is_nowhere_is_refused(model: str) -> None:
    with pytest.raises(UsageError, match="there is no folder"):
        describe_model(model)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no model: it has no config\.json"):
        describe_model(str(tmp_path))


def test_text_alone_by_hand() -> None:
    plan = make_plan(1_000_000, cpus=4)
    (option,) = plan.options
    assert option.disk == pytest.approx(11_776e6)
    assert option.memory == pytest.approx(9_150e6)
    assert option.seconds.typical == pytest.approx(0.0127 + 0.4)
    assert (option.embedded, option.machines, option.copies, option.rescored) == (True, 1, 1, False)
    assert plan.ingest.text_s.typical == pytest.approx(1e6 / (4 * 5.3))
    assert (plan.ingest.visual_s, plan.ingest.gpus, plan.recommended) == (None, 0, "text")
    assert plan.pdfs.typical == pytest.approx(51e9)


def test_a_visual_lane_by_hand() -> None:
    plan = make_plan(10_000, COLQWEN, gpus=2)
    full, pooled, turbo, binary = plan.options[1:]
    text = plan.options[0]
    whole, means = 10_000 * 750 * 128 * 2, 10_000 * 64 * 128 * 2  # (750 - 11) / 14 + 11
    assert full.disk - text.disk == pytest.approx(whole + means)  # pooled vectors are always written
    assert full.memory - text.memory == pytest.approx(whole)
    assert (pooled.disk, pooled.memory - text.memory) == (full.disk, pytest.approx(means))
    assert turbo.memory - text.memory == pytest.approx(means / 4)
    assert binary.memory - text.memory == pytest.approx(means / 16)
    assert binary.disk - pooled.disk == pytest.approx(means / 16)
    assert plan.ingest.visual_s is not None
    assert plan.ingest.visual_s.typical == pytest.approx(10_000 / 24)
    assert [option.rescored for option in plan.options] == [False, False, True, True, True]


@pytest.mark.parametrize(("model", "numbers"), [(None, 0), (COLQWEN, (750 + 64) * 128)])
def test_sending_the_pages_to_servers_is_told_by_hand(model: str | None, numbers: int) -> None:
    pages = 10**9
    plan = make_plan(pages, model)
    assert plan.chosen.machines > 1
    hours = pages * (1 / known.SEND_TEXT.value + numbers / known.SEND_VISUAL.value) / 3600
    assert f"the workers send all pages to the servers in {hours:,.0f} core hours, beside reading and embedding" in plan.notes
    names = {figure.name for figure in plan.figures}
    assert {known.SEND_TEXT.name} <= names
    assert (known.SEND_VISUAL.name in names) == (model is not None)


def test_sending_is_not_told_where_there_is_no_server() -> None:
    assert not any("to the servers" in note for note in make_plan(10_000).notes)


def test_without_a_gpu_the_cpu_embeds_and_the_question_takes_longer() -> None:
    without, with_one = make_plan(10_000, COLQWEN, gpus=0, cpus=8), make_plan(10_000, COLQWEN, gpus=1, cpus=8)
    assert without.ingest.visual_s is not None
    assert without.ingest.visual_s.typical == pytest.approx(10_000 * 8.2e12 / (2e11 * 8))
    assert without.options[1].seconds.typical > with_one.options[1].seconds.typical
    names = {figure.name for figure in without.figures}
    assert "matrix products on a CPU" in names
    assert "page images embedded on a GPU" not in names


def test_gpus_that_are_not_named_do_it_in_a_week() -> None:
    plan = make_plan("1e9", COLQWEN)
    assert plan.ingest.gpus == plan.ingest.week_gpus == 138
    assert plan.ingest.visual_s is not None
    assert 6.9 < plan.ingest.visual_s.typical / 86_400 <= 7


@pytest.mark.parametrize("pages", SIZES)
@pytest.mark.parametrize("model", [None, "vidore/colpali-v1.3", "vidore/colSmol-256M", "someone/unheard-of"])
def test_every_plan_holds_together(pages: int, model: str | None) -> None:
    plan = make_plan(pages, model)
    assert plan.recommended in [option.storage for option in plan.options]
    assert plan.reason
    for option in plan.options:
        assert 0 < option.seconds.low <= option.seconds.typical <= option.seconds.high
        assert option.memory <= option.disk + pages * known.TEXT_MEMORY.value
        assert (option.machines == 1) == (option.copies == 1) == (option.bound == "")
        assert option.machines == 1 or option.machines >= known.CLUSTER_LEAST.value
        assert not option.embedded or (option.machines == 1 and option.seconds.typical <= known.TARGET_S.value)
        assert option.copies * option.memory <= option.machines * known.NODE_MEMORY.value
        assert option.copies * option.disk <= option.machines * known.NODE_DISK.value
    assert json.loads(json.dumps(plan.to_json())) == plan.to_json()
    assert max(map(len, plan.to_text().split("Recommended")[0].splitlines())) <= 120


@pytest.mark.parametrize("storage", ["text", "full", "pooled", "turbo", "binary"])
def test_more_pages_never_take_less(storage: str) -> None:
    plans = [make_plan(pages, COLQWEN, gpus=1) for pages in SIZES]
    options = [next(option for option in plan.options if option.storage == storage) for plan in plans]
    for less, more in itertools.pairwise(options):
        assert less.disk < more.disk
        assert less.memory < more.memory
        assert less.machines <= more.machines


def test_a_laptop_stays_in_process_and_a_billion_pages_does_not() -> None:
    small, large = make_plan("10k", COLQWEN), make_plan("1e9", COLQWEN)
    assert small.chosen.embedded
    assert small.recommended != "full"
    assert "one process" in small.reason
    assert large.chosen.machines > 100
    assert large.chosen.copies == 2
    assert any("object store" in note for note in large.notes)
    assert not large.chosen.fits_here


def test_a_few_pages_are_compared_exactly() -> None:
    assert make_plan(500, COLQWEN).recommended == "full"


def test_every_figure_is_told_with_its_kind_and_source() -> None:
    plan = make_plan("1e9", COLQWEN)
    text = plan.to_text()
    for figure in plan.figures:
        assert figure.source
        assert f"{figure.kind:9}  {figure.name}: " in text
        assert f"[{figure.source}]" in text
    assert {figure.kind for figure in plan.figures} == {"measured", "published", "derived", "assumed"}
    assert len({figure.name for figure in plan.figures}) == len(plan.figures)


def test_an_index_tells_its_own_sizes(tmp_path: Path) -> None:
    pdf = text_pdf(tmp_path / "one.pdf", ["The first page.", "The second page."])
    bring(tmp_path / "library", pdf)
    plan = make_plan(100, index=str(tmp_path / "library"))
    text, pdfs = plan.figures[:2]
    assert text.source == pdfs.source == f"the index at {tmp_path / 'library'}, 2 pages"
    assert text.kind == "measured"
    assert plan.options[0].disk == pytest.approx(100 * text.value)
    # Blocks of the disk are counted, so a small file is a little larger than its bytes.
    assert pdf.stat().st_size <= 2 * pdfs.value <= pdf.stat().st_size + 65_536
    assert plan.model is None


def test_an_index_tells_its_own_model(tmp_path: Path, colqwen: Path) -> None:
    folder = tmp_path / "visual-library"
    with Library(str(folder), ocr="never", workers=1) as library:
        library.ingest([text_pdf(tmp_path / "one.pdf", ["The first page.", "The second page."])])
    without = make_plan(100, index=str(folder))
    with Library(str(folder), ocr="never", workers=1, visual=str(colqwen)) as library:
        library.ingest([])
        ids = [page.id for page in library.index.store.scroll("pages", keys=())]
        vectors, pooled = (library.index.lane_vectors(ids, lane) for lane in ("visual", "visual_pooled"))
    plan = make_plan(100, index=str(folder))
    assert plan.model is not None
    assert (plan.model.family.name, plan.model.known_by) == ("ColQwen2.5", "the index")
    assert plan.model.family.vectors.value == sum(map(len, vectors.values())) / 2
    assert plan.model.family.pooled.value == sum(map(len, pooled.values())) / 2
    assert {plan.model.family.vectors.kind, plan.model.family.pooled.kind} == {"measured"}
    # The text lanes are measured without the visual ones; what the payload gained is a few hundred bytes a page.
    assert plan.options[0].disk == pytest.approx(without.options[0].disk, rel=0.5)
    assert make_plan(100, "none", index=str(folder)).model is None
    assert make_plan(100, COLQWEN, index=str(folder)).model == describe_model(COLQWEN)


def test_an_index_that_can_not_be_measured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IndexMissing):
        make_plan(10, index=str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="can't be seen: http"):
        make_plan(10, index="http://localhost:6333/name")


def test_an_empty_index_is_refused(tmp_path: Path) -> None:
    from docrag.config import Config
    from docrag.index.library_index import LibraryIndex
    from tests.libraries import settings_of

    LibraryIndex.create(str(tmp_path / "library"), settings_of(Config())).close()
    with pytest.raises(UsageError, match="is empty"):
        make_plan(10, index=str(tmp_path / "library"))


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "0 B"), (999, "999 B"), (1_000, "0.98 KiB"), (1_536, "1.5 KiB"), (10 * 2**30, "10.0 GiB"), (2**70, "1,024 EiB")],
)
def test_bytes_for_people(count: float, told: str) -> None:
    assert human_bytes(count) == told


@pytest.mark.parametrize(
    ("span", "told"),
    [
        (Span(0.01, 0.02, 0.05), "20.0 ms (10.0-50.0)"),
        (Span(1, 1, 1), "1 s"),
        (Span(0.9, 0.9999, 2), "1 s (0.9-2)"),
        (Span(3_600, 7_200, 36_000), "2 h (1-10.0)"),
        (Span(86_400, 2 * 86_400, 400 * 86_400), "2 days (1-400)"),
    ],
)
def test_times_for_people(span: Span, told: str) -> None:
    assert human_span(span) == told


def test_a_figure_outside_its_range_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="rate is 5, which is not from 6 to 7"):
        Figure("rate", 5, "pages/s", "assumed", "nobody", low=6, high=7)


def test_a_plan_in_json_has_all_that_the_reference_names() -> None:
    found: Plan = make_plan(10_000, COLQWEN, gpus=1)
    shown = found.to_json()
    assert set(shown) == {"pages", "model", "options", "recommended", "reason", "ingest", "pdf_bytes", "notes", "figures"}
    assert set(shown["options"][0]) == {
        *("storage", "disk_bytes", "memory_bytes", "search_seconds", "machines", "copies", "bound_by", "embedded", "exact"),
        "fits_this_machine",
    }
    assert shown["model"]["family"] == "ColQwen2.5"
    assert set(shown["ingest"]) == {"cores", "gpus", "text_hours", "visual_hours", "for_a_week", "cores_to_draw_for_the_gpus"}
    assert shown["ingest"]["visual_hours"]["typical"] == pytest.approx(10_000 / 12 / 3600, rel=1e-3)
