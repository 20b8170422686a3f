from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from aisa.cli.application import NOUNS, application, run
from aisa.cli.command import home_from
from aisa.cli.exit_code import MEANINGS
from aisa.cli.reference import pages, reference
from aisa.errors import NodeUnavailable

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"
COMMANDS = dict(pages())


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = run(list(words))
    caught = capsys.readouterr()
    return code, caught.out, caught.err


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_has_help_json_and_a_home(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capsys, *words.split()[1:], "--help")
    assert code == 0
    assert "--json" in out
    assert "--home" in out
    assert (COMMANDS[words].help or "").strip().endswith(".")


@pytest.mark.parametrize("words", COMMANDS)
def test_every_option_says_what_it_does(words: str) -> None:
    context = click.Context(COMMANDS[words])
    for option in COMMANDS[words].params:
        if isinstance(option, click.Option) and not option.show_default:
            assert option.help, option.opts
        assert option.get_help_record(context) is None or option.opts


@pytest.mark.parametrize("amount", ["-5", "-0.5 aiUSD"])
def test_an_amount_below_zero_is_named_as_one(
    amount: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, "wallet", "withdraw", amount, "--to", "x")
    assert (code, out) == (2, "")
    assert "no amount is below zero" in err
    assert "hint: aisa wallet withdraw --help" in err


@pytest.mark.parametrize("words", COMMANDS)
def test_an_unknown_option_is_a_problem_with_a_way_out(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, *words.split()[1:], "--no-such-option")
    assert (code, out) == (2, "")
    assert "--no-such-option" in err
    assert f"hint: {words} --help" in err
    assert "Traceback" not in err

    code, out, err = call(capsys, *words.split()[1:], "--no-such-option", "--json")
    assert (code, out) == (2, "")
    problem = json.loads(err)
    assert problem["slug"] == "invalid-request"
    assert problem["exit_code"] == 2


def test_the_reference_is_what_the_commands_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), (
        "python -m aisa.cli.reference > docs/reference/cli.md"
    )
    for code in MEANINGS:
        assert f"| {code} |" in reference()


def test_each_noun_says_the_same_in_the_list_and_in_its_own_help() -> None:
    context = click.Context(application)
    for noun in NOUNS:
        command = application.get_command(context, noun)
        assert command is not None
        assert command.name == noun


def test_an_unknown_noun_is_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "walet")
    assert code == 2
    assert "walet" in err


def test_an_error_of_ours_becomes_words_or_a_problem(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> object:
        raise NodeUnavailable("nobody answers", hint="start it", port=8401)

    monkeypatch.setattr("aisa.cli.doctor.examine", fail)
    assert call(capsys, "doctor") == (13, "", "aisa: nobody answers\nhint: start it\n")
    code, out, err = call(capsys, "doctor", "--json")
    assert (code, out) == (13, "")
    problem = json.loads(err)
    assert problem["type"] == "urn:aisa:problem:node-unavailable"
    assert problem["detail"] == "nobody answers"
    assert problem["facts"] == {"port": 8401}
    assert problem["exit_code"] == 13


def test_an_error_of_nobody_becomes_a_sentence_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> object:
        raise ValueError("seven")

    monkeypatch.setattr("aisa.cli.doctor.examine", fail)
    code, _, err = call(capsys, "doctor")
    assert code == 70
    assert "seven" in err
    assert "Traceback" not in err
    monkeypatch.setenv("AISA_DEBUG", "1")
    assert "Traceback" in call(capsys, "doctor")[2]


def test_ctrl_c_is_an_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr("aisa.cli.doctor.examine", interrupt)
    code, out, err = call(capsys, "doctor")
    assert (code, out) == (130, "")
    assert "Traceback" not in err


def test_the_home_is_named_by_option_variable_or_default(tmp_path: Path) -> None:
    assert home_from({"AISA_HOME": str(tmp_path)}) == tmp_path
    assert home_from({}) == Path.home() / ".aisa"


def test_help_needs_none_of_the_heavy_packages() -> None:
    code = (
        "import sys; from aisa.cli import main; assert main(['--help']) == 0;"
        "heavy = {'aiohttp','fastapi','httpx2','rich','solders','starlette','uvicorn'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Commands:" in done.stdout


def test_without_click_a_sentence_says_what_to_install() -> None:
    code = "import sys; sys.modules['click'] = None; from aisa.cli import main; sys.exit(main(['demo']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install" in done.stderr
    assert "Traceback" not in done.stderr
