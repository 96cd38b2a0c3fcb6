"""The grammar of all commands: help that teaches, and options that all of them take."""

from __future__ import annotations

import re
from importlib import import_module

import pytest

import xpnet
from tests.cli.tasks import invoke, refused
from xpnet.cli import COMMANDS
from xpnet.cli.parsing import comma_separated, sizes

every_command = pytest.mark.parametrize("name", COMMANDS)


def grammar(name):
    return import_module(f"xpnet.cli.{name}").parser()


@every_command
def test_every_argument_is_explained(name):
    for action in grammar(name)._actions:
        assert action.help, action.option_strings or action.dest


@every_command
def test_every_option_with_a_value_says_its_default(name):
    for action in grammar(name)._actions:
        if action.option_strings and action.nargs != 0 and action.dest != "config":
            told = re.search(r"\(.+\)|by default|default|are left|may be left out", action.help)
            assert told, action.option_strings


@every_command
def test_the_help_has_examples_and_exit_statuses(name, capsys):
    ran = invoke(capsys, name, "--help")
    assert ran.status == 0
    assert f"examples:\n  xpnet {'train' if name == 'resume' else name}" in ran.out
    for status in ("0 all is done", "1 xpnet itself", "2 an argument", "130 after", "143 after"):
        assert status in ran.out


@every_command
@pytest.mark.parametrize("option", ["--device", "--json", "--quiet"])
def test_every_command_takes_them(name, option):
    assert option in grammar(name)._option_string_actions


@every_command
def test_the_examples_are_such_as_the_grammar_takes(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in ("train.csv", "more.csv"):
        (tmp_path / file).touch()
    (tmp_path / "pets").mkdir()
    epilog = grammar(name).epilog
    lines = re.findall(r"^  xpnet (\w+)(.*?)(?:  +[a-zA-Z].*)?$", epilog, re.M)
    assert lines
    for command, line in lines:
        grammar(command).parse_args(line.split())


def test_without_a_command_there_is_help(capsys):
    ran = invoke(capsys)
    assert ran.status == 0
    for name, what in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(what)}$", ran.out, re.M)


def test_the_version_is_told(capsys):
    assert invoke(capsys, "--version").out == f"xpnet {xpnet.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("trian", "invalid choice: 'trian' (choose from 'train', 'resume', 'evaluate', 'predict', "
         "'data'): did you mean 'train'?"),
        ("--versoin", "did you mean '--version'?"),
    ],
)  # fmt: skip
def test_a_mistaken_command_is_told_the_nearest(capsys, arguments, sentence):
    ran = invoke(capsys, *arguments.split())
    assert ran.status == 2
    refused(ran, sentence if "choose" in sentence else "required: COMMAND", "xpnet")


def test_sizes_and_lists():
    assert sizes("1,28,28") == sizes("1x28x28") == [1, 28, 28]
    assert comma_separated("a, b") == ["a", "b"]
