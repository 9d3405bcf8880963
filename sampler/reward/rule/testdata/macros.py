"""Writes ../macros.txt: what pylatexenc 2.10 reads and writes for each macro it knows.

One macro a line, fields apart by tabs: its name, the arguments it takes (* star,
[ optional, { mandatory; - none), how it is written, and the text as a JSON string.
How: text (the text alone), percent (the arguments in place of its %s or %(n)s),
args (its arguments), drop (nothing), accent (each character of its argument with
the text after it, composed), style (its argument in the mathematical alphabet
that the text names), or python (left to pylatexenc itself).

    python macros.py > ../macros.txt
"""
import inspect
import json

import pylatexenc.version
from pylatexenc import latex2text, latexwalker
from pylatexenc.macrospec import MacroStandardArgsParser

assert pylatexenc.version.version_str == "2.10"
reads = latexwalker.get_default_latex_context_db()
writes = latex2text.get_default_latex_context_db()


def how(name, spec):
    if spec is None or (not spec.simplify_repl and spec.discard):
        return "drop", ""
    repl = spec.simplify_repl
    if not repl:
        return "args", ""
    if not callable(repl):
        return ("percent" if "%" in repl and len(repl) != 1 else "text"), repl
    defaults = inspect.getfullargspec(repl).defaults or ()
    if name == "%":
        return "text", "%"
    if defaults and len(defaults[0]) == 1:
        return "accent", defaults[0]
    if repl.__name__ == "formatter":
        return "style", defaults[0]
    return "python", ""


for name in sorted({s.macroname for db in (reads, writes) for s in db.iter_macro_specs()}):
    read, args = reads.get_macro_spec(name), ""
    kind, text = how(name, writes.get_macro_spec(name))
    if read is not None:
        args = read.args_parser.argspec
        if type(read.args_parser) is not MacroStandardArgsParser:
            kind, text = "python", ""
    if name in ("today", "maketitle"):
        kind, text = "python", ""  # the date of the import
    if (kind, args) != ("drop", ""):
        print(name, args or "-", kind, json.dumps(text, ensure_ascii=True), sep="\t")
