"""How a tensor lies while it is coded: rows of weights that belong together, and which weights are neighbours."""

from dataclasses import dataclass

WIDEST = 1 << 16
_VECTOR = 16


@dataclass(frozen=True)
class Layout:
    """``rows`` of ``columns`` weights; the last row may be short. ``near`` are the distances to neighbours in a row,
    ``kernel`` how many weights follow each other for one input channel; ``turned`` says that a row belongs to an input,
    and not to an output."""

    count: int
    columns: int
    near: tuple[int, int]
    far: int
    kernel: int
    turned: bool = False

    @property
    def rows(self) -> int:
        return -(-self.count // self.columns)

    @property
    def vector(self) -> bool:
        return self.columns == _VECTOR and self.kernel == 0

    @property
    def rows_at_once(self) -> int:
        """Enough for numpy, and never more than some 2,000 turns."""
        least = max(_VECTOR if self.vector else 128, self.count // 2000)
        return max(1, -(-least // self.columns))


def layout(shape: tuple[int, ...], width: int = 0, turned: bool = False) -> Layout | None:
    """That of a convolution's or a linear layer's weights, or of a vector; None where a row is too wide.

    ``width`` is how many columns of a matrix make one line of the picture that it reads, 0 where there is none.
    """
    count = 1
    for size in shape:
        count *= size
    if len(shape) < 2 or count == 0:
        return Layout(count, _VECTOR, (1, 2), 0, 0)
    columns = count // shape[0]
    if columns > WIDEST:
        return None
    steps, step = [1], 1
    for size in reversed(shape[2:]):
        step *= size
        if steps[-1] < step < columns:
            steps.append(step)
    if len(shape) == 2 and 1 < width < columns:
        steps.append(width)
    second = steps[1] if len(steps) > 1 else 2
    return Layout(count, columns, (1, second), steps[2] if len(steps) > 2 else 0, max(1, step), turned)
