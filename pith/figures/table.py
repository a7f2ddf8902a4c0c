"""Numbers beside a figure: tables that a screen reader finds its way in and that scroll inside their box."""

from collections.abc import Iterable, Sequence

from pith.figures.svg import Drawn, said


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], *, shown: bool = True) -> Drawn:
    """The first column names its row. A caption that is not ``shown`` is read out all the same."""
    columns = "".join(f'<th scope="col">{said(name)}</th>' for name in head)
    body = "".join(_row(row) for row in rows)
    hidden = "" if shown else ' class="unseen"'
    inner = f"<caption{hidden}>{said(caption)}</caption><thead><tr>{columns}</tr></thead><tbody>{body}</tbody>"
    return Drawn(
        f'<div class="wide" tabindex="0" role="group" aria-label="{said(caption)}"><table>{inner}</table></div>'
    )


def _row(row: Sequence[str]) -> str:
    name, *cells = row
    return f'<tr><th scope="row">{said(name)}</th>{"".join(f"<td>{_cell(cell)}</td>" for cell in cells)}</tr>'


def _cell(cell: str) -> str:
    return cell if isinstance(cell, Drawn) else said(cell)


def figure(drawings: Sequence[Drawn], caption: str, numbers: Drawn, *, opened: bool = False) -> Drawn:
    """Drawings with one caption, and their numbers in a part that opens."""
    shown = "".join(f'<div class="drawing">{each}</div>' for each in drawings)
    more = f"<details{' open' if opened else ''}><summary>The numbers</summary>{numbers}</details>"
    return Drawn(f'<figure><div class="drawings">{shown}</div><figcaption>{said(caption)}</figcaption>{more}</figure>')
