"""The report: whole, safe, the same every time, and readable by programs."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
from evaluations import MODEL, evaluation, examples, levels

from vqaudio.errors import VqaudioError
from vqaudio.evaluate.results import Evaluation, Figure, SystemResult
from vqaudio.report import (
    Example,
    Take,
    lines,
    markdown_table,
    rate_distortion_picture,
    read_evaluation,
    write_report,
    write_usage,
)
from vqaudio.report.colours import MARKERS, OTHERS, PAPER, styles
from vqaudio.report.curves import curves, decimals_of, level_lines, measured_metrics
from vqaudio.report.examples import DIFFERENCE_DB, decibels, difference, to_flac
from vqaudio.report.tables import files_csv

PLOTTED = ("stoi", "estoi", "pesq_wb", "mel_distance", "si_sdr", "speaker_similarity")
"""A plot takes its time."""
VOID = {"meta", "link", "img", "input", "br", "hr"}
NASTY = "<script>alert('\"&|$x$ {{ 7 * 7 }} \N{SNOWMAN} \N{CJK UNIFIED IDEOGRAPH-97F3}</script>"


class Page(HTMLParser):
    """Checks while it reads that what is opened is closed; remembers what is loaded."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name == "src" or (name == "href" and tag == "link"):
                self.loads.append(value or "")
            elif name == "href":
                self.links.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> at line {self.getpos()[0]}"

    def handle_data(self, data: str) -> None:
        self.text += data


def check(page: Page) -> None:
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert {link for link in page.links if link[1:] not in page.ids} == set()
    assert [load[:40] for load in page.loads if not load.startswith("data:")] == []


@pytest.fixture(scope="module")
def found() -> Evaluation:
    return evaluation(metrics=PLOTTED)


@pytest.fixture(scope="module")
def report(found: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    write_report(found, examples(1, seconds=1.0, systems=[f"{MODEL}@4000", "opus@6000"]), out)
    return out


def page_of(evaluation: Evaluation, folder: Path, shown: tuple[Example, ...] = ()) -> Page:
    write_report(evaluation, shown, folder)
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    check(page)
    return page


def test_the_page_is_whole_and_loads_nothing(report: Path) -> None:
    text = (report / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    check(page)
    assert page.tags.count("audio") == 3
    assert page.tags.count("img") == 5  # a spectrogram each, a difference for all but the first
    assert re.findall(r"https?://[^\s\"<]*", text) == []
    assert "url(#" in text  # pictures refer to their own parts
    assert not re.search(r"@import|url\((?!#)", text)
    for part in ("Quality against bitrate", "All figures", "Listen", "Codebooks", "PESQ-WB"):
        assert part in page.text
    for part in ("pip install visqol", "14 samples early", "Lyra is not on this machine", "d59c92"):
        assert part in page.text


def test_reports_are_the_same_bytes(found: Evaluation, report: Path, tmp_path: Path) -> None:
    shown = examples(1, seconds=1.0, systems=[f"{MODEL}@4000", "opus@6000"])
    write_report(found, shown, tmp_path)
    for name in ("report.html", "report.json", "files.csv"):
        assert (tmp_path / name).read_bytes() == (report / name).read_bytes()


def test_an_evaluation_comes_back_from_json(found: Evaluation, report: Path) -> None:
    assert read_evaluation(report / "report.json") == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is no evaluation"),
        (b"[]", "is no evaluation"),
        (b'{"command": 3}', "is no evaluation .command: "),
        (b"\xff\xfe", "it is not text"),
    ],
)
def test_what_is_no_evaluation_is_refused(tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(text)
    with pytest.raises(VqaudioError, match=message):
        read_evaluation(path)


def test_an_evaluation_of_another_version_is_refused(found: Evaluation, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(found.model_dump(mode="json") | {"format_version": 2}))
    with pytest.raises(VqaudioError, match="format version 2"):
        read_evaluation(path)
    with pytest.raises(VqaudioError, match="No such file"):
        read_evaluation(tmp_path / "nothing.json")


def test_the_csv_has_a_line_a_file_and_system(found: Evaluation, report: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((report / "files.csv").read_text(encoding="utf-8"))))
    assert len(rows) == 16 * 30
    facts = ["file", "speaker", "seconds", "system", "num_bits", "encode_seconds", "decode_seconds"]
    assert list(rows[0]) == facts + [metric.name for metric in found.metrics]
    assert float(rows[0]["stoi"]) == found.files[0].scores["stoi"]
    assert {row["si_sdr"] for row in rows if row["system"] == "original"} == {""}


def test_means_of_some_files_say_of_how_many(found: Evaluation, tmp_path: Path) -> None:
    def partly(system: SystemResult, **update: float | None) -> SystemResult:
        figure = system.metrics["stoi"].model_copy(update={"count": 12, **update})
        return system.model_copy(update={"metrics": system.metrics | {"stoi": figure}})

    first, second, third = found.systems[:3]
    systems = (partly(first), partly(second, low=None, high=None), third)
    some = found.model_copy(update={"systems": systems, "files": ()})
    table = markdown_table(some, ["stoi"]).splitlines()[2:]
    assert re.search(r"\| 0\.\d+ \(0\.\d+ to 0\.\d+; 12 of 30\) \|$", table[0])
    assert re.search(r"\| 0\.\d+ \(12 of 30\) \|$", table[1])
    assert not any("of 30" in line for line in markdown_table(found, PLOTTED).splitlines())
    told = lines(some)
    assert re.search(r"0\.\d+ ±0\.\d+ \(12 of 30\)", told[2])
    assert re.search(r"0\.\d+ \(12 of 30\)", told[3])
    assert "of 30" not in told[4]
    assert "(n of N): only n of N files have a value" in told
    assert not any("of 30" in line or "n of N" in line for line in lines(found))
    page_of(some, tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.count("<small>12 of 30 files</small>") == 2


def test_a_sound_that_is_cut_has_the_scores_of_the_whole(
    found: Evaluation, report: Path, tmp_path: Path
) -> None:
    sentence = "whole recording, of which at most the first 1 s are heard"
    page = Page((report / "report.html").read_text(encoding="utf-8"))
    assert sentence in " ".join(page.text.split())
    files = tuple(row.model_copy(update={"seconds": 1.0}) for row in found.files[:1])
    small = found.model_copy(update={"systems": found.systems[:1], "files": files})
    page = page_of(small, tmp_path, tuple(examples(1, seconds=1.0, systems=[])))
    assert "are heard" not in page.text


def test_names_cannot_become_markup(found: Evaluation, tmp_path: Path) -> None:
    model = found.model | {"name": NASTY, NASTY: [NASTY, None]}
    system = found.systems[0].model_copy(
        update={"name": f"{NASTY}@1", "label": NASTY, "family": NASTY, "about": {NASTY: NASTY}}
    )
    other = found.systems[7].model_copy(update={"status": "suspicious", "reason": NASTY})
    metric = found.metrics[0].model_copy(update={"label": NASTY, "unit": NASTY, "source": NASTY})
    nasty = found.model_copy(
        update={
            "model": model,
            "command": NASTY,
            "data": NASTY,
            "date": NASTY,
            "systems": (system, other),
            "metrics": (metric,),
            "unreadable": {NASTY: NASTY},
        }
    )
    waveform = np.zeros(2000, np.float32)
    shown = Example(f"{NASTY}\udcff" + "long" * 60, 8000, (Take(NASTY, NASTY, waveform),), NASTY)
    page = page_of(nasty, tmp_path, (shown,))
    assert page.tags.count("script") == 1
    assert "{{ 7 * 7 }}" in page.text
    rate_distortion_picture(nasty, metric.name, tmp_path / "plot.svg")
    picture = (tmp_path / "plot.svg").read_text(encoding="utf-8")
    assert "<script" not in picture
    table = markdown_table(nasty, [metric.name])
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 4 for line in table.splitlines())
    assert lines(nasty)


@pytest.mark.parametrize("kept", [slice(0), slice(16, 18), slice(1), slice(15, 16)])
def test_any_number_of_systems_makes_a_page(found: Evaluation, tmp_path: Path, kept: slice) -> None:
    some = found.model_copy(update={"systems": found.systems[kept], "files": ()})
    page_of(some, tmp_path)
    assert lines(some)
    assert markdown_table(some, ["stoi"]).startswith("| system | kbit/s | STOI |")
    assert read_evaluation(tmp_path / "report.json") == some


def test_nothing_measured_makes_a_page(found: Evaluation, tmp_path: Path) -> None:
    nothing = {"mean": None, "low": None, "high": None, "count": 0}
    broken = {"mean": -math.inf, "low": math.nan, "high": None, "count": 1}
    for figure in (Figure(**nothing), Figure.model_construct(**broken)):
        systems = tuple(
            SystemResult(
                name=f"codec@{place}",
                label=f"codec {place}",
                family=f"family {place}",
                status="ok",
                bitrate=[None, 0.0, 1000.0, 2000.0][place % 4],
                metrics={"stoi": figure, "pesq_wb": figure},
            )
            for place in range(40)
        )
        empty = found.model_copy(update={"systems": systems, "model": {}, "files": ()})
        page_of(empty, tmp_path)
        assert len(lines(empty)) > 40


def test_an_example_of_a_broken_system_is_shown(found: Evaluation, tmp_path: Path) -> None:
    broken = np.array([np.nan, np.inf, -np.inf, 3.0], np.float32)
    takes = (Take("a", "a", np.zeros(1, np.float32)), Take("b", "b", broken))
    empty = Take("c", "c", np.zeros(0, np.float32))
    page = page_of(
        found.model_copy(update={"systems": found.systems[:1], "metrics": found.metrics[:1]}),
        tmp_path,
        (Example("file", 16000, (*takes, empty)), Example("none", 16000, ())),
    )
    assert page.tags.count("audio") == 2
    assert "no samples" in page.text


def test_sounds_keep_every_sample() -> None:
    waveform = (np.arange(-400, 400) / 400).astype(np.float32)
    sound = to_flac(waveform, 16000)
    data = base64.b64decode(sound.removeprefix("data:audio/flac;base64,"))
    decoded, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    assert rate == 16000
    assert np.abs(decoded - waveform).max() <= 0.5 / 32768


def test_a_spectrogram_has_a_tone_where_it_is() -> None:
    rate = 16000
    tone = np.sin(2 * np.pi * 2000 * np.arange(rate) / rate).astype(np.float32)
    found = decibels(tone, rate)
    assert abs(int(found.mean(axis=1).argmax()) - 28) <= 1  # a quarter of 112 rows
    assert difference(found, found, top=found.max()) == difference(
        found, found + 0.4 * DIFFERENCE_DB / 16, top=found.max()
    )
    assert difference(found, found, top=0) != difference(found, found - DIFFERENCE_DB, top=0)


def test_what_is_drawn(found: Evaluation) -> None:
    drawn = curves(found, "pesq_wb")
    assert drawn[0].family == MODEL
    assert [point.kbits for point in drawn[0].points] == [0.5, 1.0, 2.0, 4.0]
    assert all(point.low < point.mean < point.high for point in drawn[0].points)
    assert level_lines(found, "pesq_wb") == [("unprocessed", pytest.approx(4.64))]
    assert level_lines(found, "si_sdr") == []  # infinite
    first = [metric.name for metric in measured_metrics(found)][:4]
    assert first == ["pesq_wb", "stoi", "speaker_similarity", "mel_distance"]


def test_families_look_different_and_can_be_seen() -> None:
    names = [f"family {place}" for place in range(1 + len(OTHERS) * len(MARKERS))]
    looks = styles(names, names[3])
    assert len({look[:2] for look in looks.values()}) == len(names)
    assert [name for name, look in looks.items() if look.own] == [names[3]]
    for colour in OTHERS:
        assert contrast(colour.light, PAPER.light) >= 4.5
        assert contrast(colour.dark, PAPER.dark) >= 4.5


def contrast(one: str, other: str) -> float:
    """Of two colours, 1 to 21 (WCAG 2.1)."""
    values = []
    for colour in (one, other):
        parts = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        values.append(float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05)
    return max(values) / min(values)


@pytest.mark.parametrize(
    ("half", "digits"), [(0.012, 3), (0.05, 2), (0.3, 1), (3.0, 0), (1e-9, 3), (900, 0)]
)
def test_digits_follow_the_interval(half: float, digits: int) -> None:
    assert decimals_of([Figure(mean=1.0, low=1 - half, high=1 + half, count=9)]) == digits


def test_the_table_for_a_readme(found: Evaluation) -> None:
    table = markdown_table(found, ["stoi", "si_sdr"]).splitlines()
    assert table[0] == "| system | kbit/s | STOI | SI-SDR (dB) |"
    assert table[1] == "|---|---:|---:|---:|"
    assert re.fullmatch(
        r"\| speech-16k 0.5 kbit/s \| 0.50 \| 0\.\d{3} \(0\.\d{3} to 0\.\d{3}\) \| .*", table[2]
    )
    assert [line[:20] for line in table if "(suspicious)" in line] == ["| Codec 2 1.3 kbit/s"]
    assert table[-1].endswith("| \N{EN DASH} |")
    assert len(table) == 2 + 16
    with pytest.raises(VqaudioError, match="no metric 'nonsense': choose from stoi, estoi"):
        markdown_table(found, ["nonsense"])


def test_the_lines_for_a_terminal(found: Evaluation) -> None:
    text = lines(found)
    assert max(map(len, text)) <= 100
    assert text[0].split()[:5] == ["system", "kbit/s", "PESQ-WB", "(MOS)", "STOI"]
    assert (
        "suspicious: Codec 2 1.3 kbit/s: it lies 14 samples early and is 3.1 dB too loud." in text
    )
    assert any(line.startswith("skipped: ViSQOL: ") for line in text)


def test_pictures_for_a_readme(found: Evaluation, tmp_path: Path) -> None:
    rate_distortion_picture(found, "stoi", tmp_path / "stoi.svg")
    rate_distortion_picture(found, "stoi", tmp_path / "again.svg")
    first = (tmp_path / "stoi.svg").read_bytes()
    assert first == (tmp_path / "again.svg").read_bytes()
    assert b"speech-16k 4 kbit/s: 4 kbit/s, 0.8" in first
    rate_distortion_picture(found, "stoi", tmp_path / "stoi.png")
    assert (tmp_path / "stoi.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(VqaudioError, match=r"a picture is \.svg or \.png"):
        rate_distortion_picture(found, "stoi", tmp_path / "stoi.gif")


def test_usage_alone(tmp_path: Path) -> None:
    facts = {"model": NASTY, "bitrate": 4000.0, "levels": [{"used": 1}], "unreadable": {"a": "b"}}
    write_usage(levels(8), facts, tmp_path / "usage.html")
    page = Page((tmp_path / "usage.html").read_text(encoding="utf-8"))
    check(page)
    assert page.tags.count("tr") == 1 + 8
    assert "4000 bit/s" in page.text
    assert "unreadable: a" in page.text
    for name in ("usage.svg", "usage.png"):
        write_usage(levels(12), {}, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000
    with pytest.raises(VqaudioError, match=r"give it the suffix \.html, \.svg or \.png"):
        write_usage(levels(1), {}, tmp_path / "usage")


def test_usage_of_nothing(tmp_path: Path) -> None:
    nothing = levels(1)[0].model_copy(
        update={"num_tokens": 0, "histogram": (0, 0), "codebook_size": 2, "entropy": 0.0}
    )
    one = nothing.model_copy(update={"num_tokens": 3, "histogram": (3,), "codebook_size": 1})
    for found in ((), (nothing,), (one, nothing)):
        write_usage(found, {}, tmp_path / "usage.html")
        check(Page((tmp_path / "usage.html").read_text(encoding="utf-8")))


@pytest.mark.parametrize("library", ["matplotlib", "jinja2"])
def test_a_missing_library_is_named(
    found: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    none = found.model_copy(update={"systems": ()})
    message = rf"The report needs {library}: pip install 'vqaudio\[eval\]'\."
    with pytest.raises(VqaudioError, match=message):
        write_report(none, (), tmp_path)


def test_scores_that_no_metric_describes_are_in_the_csv(found: Evaluation) -> None:
    row = found.files[0].model_copy(update={"scores": {"new": 1.5, "stoi": None}})
    text = files_csv(found.model_copy(update={"files": (row,)}))
    head, line = text.splitlines()
    assert head.endswith(",visqol,new")
    assert line.endswith(",,1.5")
