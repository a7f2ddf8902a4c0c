"""Options that another option leaves without effect: refused, because whoever set them expects something of them."""

from pith.base import Frozen


def refuse_idle(options: Frozen, why: str, way_out: str, *fields: str) -> None:
    """Refuse those of the fields that have another value than they have by themselves.

    Raises:
        ValueError: there is one.
    """
    usual = type(options).model_fields
    idle = [field for field in fields if getattr(options, field) != usual[field].get_default()]
    if idle:
        have, them = ("has", "it") if len(idle) == 1 else ("have", "them")
        raise ValueError(f"{' and '.join(idle)} {have} no effect where {why}; leave {them} out, or {way_out}")
