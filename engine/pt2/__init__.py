"""Untrusted ``.pt2`` files: read as zip and JSON, allow-listed, and written anew before torch may see them.

What ``torch.export.load`` and ``ExportedProgram.module()`` of torch 2.14 would run out of a file, and where it stops
here. Look again at each with a new torch: ``_export/serde/serialize.py``, ``export/pt2_archive/_package.py``,
``export/_unlift.py``, ``utils/_pytree.py``, ``fx/graph.py``. Nothing below is called here; it is a table of what is
refused.

    torch.load, unpickling everything  sample inputs; use_pickle; models and constants as .pt    archive, payload
    pickle.loads, _pickle_load_obj     opaque_obj_*, custom_obj_*                                payload
    dlopen                             data/aotinductor/                                         archive
    the layout of torch 2.7            any archive whose load raises RuntimeError                load
    sympy.sympify, which is eval       expr_str                                                  expression
    exec                               guards_code; strings and keys quoted into guards          program, rewrite
    exec of generated source           node, argument and parameter names, keys of kwargs        names, treespec
    getattr chains from torch, math    node targets, as_operator, source_fn_stack                operators, names
    importlib                          contexts of defaultdict, namedtuple and enum in treespecs treespec
    registries                         "#" targets, verifiers                                    operators, program
"""

from engine.pt2.limits import Limits
from engine.pt2.rewrite import clean

__all__ = ["Limits", "clean"]
