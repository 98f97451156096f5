"""Help texts: every command has one, with an example that the command line understands."""

import re
import shlex
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from service.cli.main import app


def _commands(group, path=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(_commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_has_an_example_of_the_command(path):
    shown = CliRunner().invoke(app, [*path, "--help"])
    assert shown.exit_code == 0
    flat = " ".join(shown.output.split())
    assert re.search(rf"Example: (\S+=\S+ )*ringside {' '.join(path)}", flat), shown.output


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_examples_use_options_that_exist(path):
    command = COMMANDS[path]
    known = {name for parameter in command.params for name in parameter.opts}
    example = shlex.split(command.help.partition("Example:")[2])
    assert {word for word in example if word.startswith("-")} <= known


def test_exit_statuses_are_documented():
    shown = CliRunner().invoke(app, ["--help"])
    flat = " ".join(shown.output.split())
    assert "3 not found, 4 key refused, 5 overloaded" in flat


def test_no_command_imports_torch_before_it_must():
    script = "import sys, service.cli.main; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
