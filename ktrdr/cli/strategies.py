"""`ktrdr strategies`: check strategy files, list and show them, start a new one, look for leaks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="Validate, list, show and start strategy files.", no_args_is_help=True)

FILE_SUFFIXES = (".yaml", ".yml", ".json")
Json = Annotated[bool, typer.Option("--json", help="Print what the API said.")]
Files = Annotated[list[Path], typer.Argument(help="Strategy files, YAML or JSON.")]


@app.command()
def validate(files: Files, json: Json = False) -> None:
    """Name every mistake of strategy files with its line; exit 1 when there is one."""
    from ktrdr.cli.client import Client
    from ktrdr.cli.render import as_json

    client = Client()
    reports = [{"file": str(path), **checked(client, path)} for path in files]
    if json:
        as_json(reports)
    for one in () if json else reports:
        _shown(one)
    if not all(one["valid"] for one in reports):
        raise typer.Exit(1)


@app.command("list")
def list_strategies(json: Json = False) -> None:
    """Files in the home's strategies folder, by name."""
    from rich.markup import escape

    from ktrdr.cli.client import Client
    from ktrdr.cli.render import as_json, table

    found = Client().get("/strategies")
    if json:
        as_json(found)
        return
    rows = ((escape(one["name"]), _state(one), escape(one["path"])) for one in found)
    empty = "No strategy files. Start one: ktrdr strategies new NAME --out FILE"
    table(("STRATEGY", "STATE", "FILE"), rows, empty=empty)


@app.command()
def show(name: Annotated[str, typer.Argument(help="The file's name.")], json: Json = False) -> None:
    """One file of the home's strategies folder: its text, then what is wrong with it."""
    from ktrdr.cli.client import Client
    from ktrdr.cli.render import as_json, printable

    one = Client().get(f"/strategies/{name}")
    if json:
        as_json(one)
        return
    typer.echo(printable(one["text"].rstrip()) + "\n")
    _shown({"file": one["path"], **one["report"]})


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="The strategy's name.")],
    out: Annotated[Path | None, typer.Option(help="Write it here; never over a file.")] = None,
) -> None:
    """Print a commented file that is valid and runs, to start from."""
    from ktrdr.cli.client import Client

    text = Client().get("/strategies/template", name=name)["text"]
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise typer.BadParameter(f"{out} can't be written ({error.strerror})") from error
    typer.echo(f"Wrote {out}. Check it: ktrdr strategies validate {out}")


@app.command("leak-check")
def leak_check(
    what: Annotated[str, typer.Argument(metavar="FILE|TRAINING_ID", help="A strategy file, or a training.")],
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Which bars are looked at.")] = 0,
    json: Json = False,
) -> None:
    """Change every bar that was not known yet and see what moves; exit 1 when anything does.

    Of a file the networks are made for the check, of a training they are its own.
    """
    from ktrdr.cli.client import Client
    from ktrdr.cli.leaks import shown
    from ktrdr.cli.render import as_json

    client, path = Client(), Path(what)
    is_file = path.suffix.lower() in FILE_SUFFIXES or path.is_file()
    asked = {"strategy": strategy_of(client, path)} if is_file else {"training_id": what}
    found = client.post("/strategies/leak-check", {**asked, "seed": seed}, timeout=None)
    if json:
        as_json(found)
    else:
        shown(what, found)
    if not found["clean"]:
        raise typer.Exit(1)


@app.command()
def schema() -> None:
    """Print the grammar as JSON Schema, for editors."""
    from ktrdr.cli.client import Client
    from ktrdr.cli.render import as_json

    as_json(Client().get("/strategies/schema"))


def checked(client: Any, path: Path) -> dict[str, Any]:
    """What the backend says of a file's text."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{path} can't be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{path} is not UTF-8 text") from error
    found: dict[str, Any] = client.post("/strategies/validate", {"text": text})
    return found


def strategy_of(client: Any, path: Path) -> Any:
    """A strategy file; the backend judges what is in it, and reads YAML, so that lines are named."""
    import json

    if path.suffix.lower() in (".yaml", ".yml"):
        report = checked(client, path)
        if report["errors"]:
            faults(str(path), report["errors"], err=True)
            raise typer.Exit(1)
        return report["strategy"]
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise typer.BadParameter(f"{path} can't be read ({error.strerror})") from error
    except ValueError as error:
        raise typer.BadParameter(f"{path} is not JSON: {error}") from error


def faults(file: str, found: Iterable[Any], what: str = "", *, err: bool = False) -> None:
    """`FILE:line: path: message`, one a line, as compilers do."""
    from ktrdr.cli.render import printable

    for one in found:
        place = file if one["line"] is None else f"{file}:{one['line']}"
        words = [place, what, one["path"], printable(one["message"]).replace("\n", " ")]
        typer.echo(": ".join(word for word in words if word), err=err)


def _shown(report: dict[str, Any]) -> None:
    file = report["file"]
    faults(file, report["errors"])
    faults(file, report["warnings"], "warning")
    if report["valid"]:
        typer.echo(f"{file}: valid, {len(report['features'])} features")


def _state(one: dict[str, Any]) -> str:
    if not one["valid"]:
        return f"[red]{one['errors']} errors[/red]"
    return "[green]valid[/green]"
