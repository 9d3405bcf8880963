# The rule grader's two questions that need Python: what an answer looks like
# once it is normalised, and whether sympy finds two of them equal. The official
# evaluation defines both, exceptions that it swallows included; where this
# refuses more, it says so.
import ast
import builtins
import re
import types

import sympy
import sympy.core.random
from pylatexenc import latex2text, latexwalker
from sympy.core.cache import clear_cache
from sympy.parsing import sympy_parser

# --- normalisation -----------------------------------------------------------

WRAPPED = re.compile(r"^\\text\{(.+?)\}$")
# In this order: what an earlier one takes, a later one does not see.
UNITS = [
    re.compile(unit + r"(es)?(s)? *(\^[0-9]+)?")
    for unit in (
        "degree cm centimeter meter mile second minute hour day week month year foot feet inch yard"
    ).split()
]
DEGREES = re.compile(r"\^ *\\circ")
THIN_SPACE = re.compile(r",\\! *")
AFTER_MINUS = re.compile("- *")
MIXED = re.compile("([0-9]) +([0-9])")
THOUSANDS = re.compile(r"(\d)(,)(\d\d\d)($|\D)")
WORDS = (
    ("\\%", "%"),
    ("\\$", "$"),
    ("$", ""),
    ("%", ""),
    (" or ", " , "),
    (" and ", " , "),
    ("million", "*10^6"),
    ("billion", "*10^9"),
    ("trillion", "*10^12"),
)
SIGNS = (("√", "sqrt"), ("π", "pi"), ("∞", "inf"), ("∪", "U"), ("·", "*"), ("×", "*"))

TEXTS, MACROS = latex2text.get_default_latex_context_db(), latexwalker.get_default_latex_context_db()


def whole(number):
    try:
        return abs(number - int(round(number))) <= 1e-7
    except (ValueError, OverflowError):  # nan, inf
        return False


def without_thousands(text):
    while True:
        shorter = THOUSANDS.sub(r"\1\3\4", text)
        if shorter == text:
            return text
        text = shorter


def plain_text(latex):
    for name in ("\\tfrac", "\\dfrac"):
        latex = latex.replace(name, "\\frac")
    # A converter of its own: a \title would be remembered. What it knows is shared.
    text = latex2text.LatexNodes2Text(latex_context=TEXTS).latex_to_text(latex.replace("\\frac", " \\frac"), latex_context=MACROS)
    for sign, word in SIGNS:
        text = text.replace(sign, word)
    return text.strip()


def normalize(text):
    found = WRAPPED.search(text)
    if found:
        text = found.group(1)
    for word, other in WORDS:
        text = text.replace(word, other)
    for unit in UNITS:
        text = unit.sub("", text)
    text = DEGREES.sub("", text)
    if text[:1] == "{" and text[-1:] == "}":
        text = text[1:-1]
    text = THIN_SPACE.sub("", text)
    try:
        number = float(text)
        if whole(number):
            text = str(int(round(number)))
    except ValueError:
        pass
    if "\\" in text:
        try:
            text = plain_text(text)
        except MemoryError:
            raise
        except Exception:  # as it is, then
            pass
    text = MIXED.sub(r"\1+\2", AFTER_MINUS.sub("-", text))
    for gone in " {}":
        text = text.replace(gone, "")
    text = text.lower()
    try:
        # Whole when rounded, written when cut off: 2.99999999 is 2.
        if whole(float(without_thousands(text))):
            text = str(int(float(text.replace(",", ""))))
    except ValueError:
        pass
    return text


# --- equality ----------------------------------------------------------------

BAD = re.compile(r"\^\{|\^\(|\^[0-9]+\^|\^[0-9][0-9]")


def letters(text):
    return len({c for c in text.replace("sqrt", "").replace("frac", "") if c.isalpha()})


def worth_trying(text):
    return letters(text) <= 2 and not BAD.search(text)


class Refused(Exception):
    """What is not evaluated, whatever it would have given."""


# The builtins that the official parser lets an expression call, less those that
# reach beyond numbers. It changes no verdict: none of the names that are left
# out has so few letters that it passes worth_trying.
HARMLESS = "abs all any bin chr divmod hash hex id len oct ord pow repr round sorted sum".split()

# sympy's own that read, run or show something; out of reach by their letters too.
BEYOND = "doctest init_printing init_session interactive_traversal lambdify parse_expr plot plot_implicit preview source sympify test".split()


def names():
    known = {}
    exec("from sympy import *", known)
    known.update((n, getattr(builtins, n)) for n in HARMLESS)
    for name in list(known):
        if name in BEYOND or isinstance(known[name], types.ModuleType):
            del known[name]
    known["max"], known["min"] = sympy.Max, sympy.Min
    known["__builtins__"] = {}
    return known


NAMES = names()

NODES = (
    ast.Expression,
    ast.BinOp,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.Call,
    ast.keyword,
    ast.Starred,
    ast.Name,
    ast.Constant,
    ast.Tuple,
    ast.List,
    ast.Set,
    ast.Dict,
    ast.Subscript,
    ast.Slice,
    ast.Attribute,
    ast.operator,
    ast.unaryop,
    ast.boolop,
    ast.cmpop,
    ast.expr_context,
)
# All attributes of numbers, sets and lists that worth_trying lets through when
# they are written in ASCII. (Roman numerals are letters to Python but not to it.)
ATTRIBUTES = frozenset("n p q add pop __add__ __or__ __ror__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__".split())


# Functions of sympy read a string as an expression, with eval and unseen by
# worth_trying: ln("\\137..."). So a string stands alone in a call, and has
# nothing in it but sums, or it is a name that the parser put there.
PLAIN = re.compile(r"[0-9A-Za-z+\-*/(). ,!<>=\[\]]*")
# What needs no look: without a quote, an underscore, a bracket, a colon, or a name after a point.
SIMPLE = re.compile(r"[0-9A-Za-z+\-*/() ,!<>=]*(?:\.(?![ A-Za-z])[0-9A-Za-z+\-*/() ,!<>=]*)*")
NAMING = frozenset("Symbol Function Integer Float Rational".split())


def check(source):
    """Raises Refused if the parser's code is more than a formula. Of what is
    refused, only formulas that nobody would write could have been equal."""
    waiting = [(ast.parse(source, mode="eval"), None)]
    while waiting:
        node, parent = waiting.pop()
        if not isinstance(node, NODES):
            raise Refused(type(node).__name__)
        if isinstance(node, ast.Attribute) and node.attr not in ATTRIBUTES:
            raise Refused("." + node.attr)
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
            if not isinstance(parent, ast.Call) or isinstance(node.value, bytes):
                raise Refused("a string")
            named = isinstance(parent.func, ast.Name) and parent.func.id in NAMING
            if not named and not (PLAIN.fullmatch(node.value) and worth_trying(node.value)):
                raise Refused("a string")
        waiting.extend((child, node) for child in ast.iter_child_nodes(node))


def parse(text):
    local = {}
    source = sympy_parser.stringify_expr(text, local, NAMES, TRANSFORMATIONS).lstrip(" \t")
    try:
        code = compile(source, "<answer>", "eval")
    except MemoryError:  # CPython's word for "too deeply nested", whatever the memory
        raise Refused("nested too deeply") from None
    if not SIMPLE.fullmatch(text):
        check(source)
    return eval(code, NAMES, local)


official_parse = sympy_parser.parse_expr


def parse_string(text, local_dict=None, transformations=sympy_parser.standard_transformations, global_dict=None, evaluate=True):
    """What sympy calls for a string: with the names above instead of all builtins."""
    return official_parse(text, local_dict, transformations, dict(NAMES), evaluate)


sympy_parser.parse_expr = parse_string

TRANSFORMATIONS = sympy_parser.standard_transformations + (sympy_parser.implicit_multiplication_application,)


def equal(truth, given):
    difference = "(" + truth + ")-(" + given + ")"
    try:
        if not worth_trying(difference):
            return False
        # Neither earlier pairs nor chance have a say in what simplify tries.
        clear_cache()
        sympy.core.random.seed(0)
        parsed = parse(difference.replace("^", "**"))
        if isinstance(parsed, sympy.Rational):  # as simple as can be
            return parsed == 0
        return bool(sympy.simplify(parsed) == 0)
    except MemoryError:
        raise
    except BaseException:
        return False
