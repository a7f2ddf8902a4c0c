"""The command `pith`: its groups, and how it ends. Errors are one sentence on stderr, never a traceback.

pith/cli/codes.py has the exit codes.
"""

import os
import sys

import click

from pith import __version__
from pith.cli import codes
from pith.cli.access import keys, me, projects
from pith.cli.export import export_model
from pith.cli.jobs import jobs
from pith.cli.mlflow import mlflow
from pith.cli.run import run
from pith.cli.service import techniques, up, workers
from pith.cli.unpack import unpack
from pith.cli.uploads import datasets, models
from pith.cli.webhooks import webhooks
from pith.errors import PithError, Problem
from pith.patience import AWAY

_AWAY = AWAY | {"not_pith"}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pith")
def cli() -> None:
    """Compress trained models, and see honestly what it costs."""


COMMANDS = (export_model, jobs, keys, me, mlflow, projects, run, techniques, unpack, up, webhooks, workers)
for command in (models(), datasets(), *COMMANDS):
    cli.add_command(command)


def main() -> None:
    sys.exit(_run())


def _run() -> int:
    try:
        code = cli.main(prog_name="pith", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except PithError as error:
        _tell(error.problem)
        return codes.UNREACHABLE if error.code in _AWAY else codes.REFUSED
    except click.Abort:
        click.echo("Interrupted.", err=True)
        return codes.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; Python must not complain about that when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return codes.REFUSED
    except OSError as error:
        click.echo(f"Error: {error}.", err=True)
        return codes.REFUSED
    return code if isinstance(code, int) else 0


def _tell(problem: Problem) -> None:
    """The sentence, and a line for each wrong place that it does not name."""
    click.echo(f"Error: {problem.detail}", err=True)
    for field in problem.errors:
        line = f"{field.pointer or 'the whole'}: {field.detail}"
        if line not in problem.detail and field.detail != problem.detail:
            click.echo(f"  {line}", err=True)
