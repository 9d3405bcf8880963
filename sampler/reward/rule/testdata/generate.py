"""Makes pairs of a response and a ground truth, as JSON lines: id, kind, response, ground_truth.

    python generate.py SEED COUNT [< truths.json]

truths.json is a list of further ground truths; without one, only those below. The
same seed gives the same pairs. Verdicts are not made here: the tests ask the
definition for them. Everything here is our own text.
"""
import json
import random
import re
import sys

TRUTHS = r"""
0 | 1 | -1 | 7 | 42 | 204 | -8 | 1000 | 1,234 | 12,345 | 1,234,567 | 1234567 | 987654321987 | 0.5 | .25 | -0.75 | 3.0 | 12.50 | 6.02e23 | 1.5e-7 | 4e9
\frac{1}{2} | \dfrac{17}{50} | -\frac{7}{3} | \frac{22}{7} | \frac45 | \tfrac{3}{8} | 3\frac{1}{2} | \frac{\pi}{6} | \frac{n+1}{2} | 5/9 | -3/4 | 2 \frac{2}{5}
\sqrt{2} | 3\sqrt{5} | \frac{\sqrt{3}}{4} | 2+\sqrt{7} | \sqrt{2}+\sqrt{3} | 4 \sqrt[3]{2} | \frac{1+\sqrt{5}}{2} | 6 - 2\sqrt{2} | -\sqrt{11} | \sqrt{\frac{2}{3}}
\pi | 2\pi | \frac{5 \pi}{12} | 9\pi-4 | \pi^2 | 16 - 4\pi
x^2+1 | 3x-2 | (x+1)(x-2) | 2n | n(n+1)/2 | \frac{x}{x+1} | x^{3}-1 | 2^{n-1} | 2^{10} | k^2 | a+b | -x^2+4x-3 | e^{2t} | \frac{a}{b+c} | y=2x+1 | x=5 | f(x)=x^2 | z = 3 | n=2k
(1,2) | (3, -4) | [0, 1) | (-\infty, 2] | (0,1) \cup (2,3) | 1,2,3 | -2, 5 | 2, \frac{1}{2} | (1,2),(3,4) | \left( \frac{1}{2}, 3 \right) | \{1,2,5\} | 3:2 | (x, y) = (1, 2)
30^\circ | 45^{\circ} | 12\% | 50\% | \$3.50 | \$1,250 | 10 \text{ cm} | 5\text{ m/s} | 25 \text{ square units} | 8 \mathrm{~km}
\text{A} | \text{(C)} | \text{Monday} | \text{even} | B | \text{odd and even} | yes | \text{no solution} | \emptyset | \pm 3 | 3 \pm \sqrt{2} | \infty | i | 2+3i | -i
\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix} | \begin{pmatrix} -1/2 \\ 5 \end{pmatrix} | \begin{bmatrix} a \\ b \end{bmatrix} | \binom{10}{3} | 10! | \frac{8!}{2^4} | \log_2 3 | \ln 2 | \sin x | \cos \frac{\pi}{5} | 1010_2 | \boxed{36} | \boxed{\frac{3}{7}} | $\frac{1}{6}$ | $2\sqrt{3}$ | $x\left(x^{2}+1\right) / 2$ | \lfloor n/2 \rfloor | \angle ABC=60^\circ
"""
TRUTHS = [t.strip() for line in TRUTHS.strip().splitlines() for t in line.split(" | ")]

SENTENCES = [
    "First we bound the sum from both sides.", "A short induction finishes the argument.", "Let us count the pairs in two ways.",
    "So the discriminant has to be a square.", "I check the small cases by hand.", "Both cases lead to the same value.", "Hm, once more: the second factor cannot vanish.",
]
ODD = ["\x00", "\x1c", "\t", "\n", "\r\n", "\x0b", "\x85", "\xa0", "\xad", "\u0301", "\u2009", "\u200b", "\u202e", "\u2028", "\u3000", "\ufeff", "½", "²", "×", "÷", "−", "–", "π", "√", "∞", "≤", "°", "∘",
       "α", "ω", "Σ", "İ", "ſ", "ß", "ﬁ", "K", "٣", "５", "𝟗", "中", "🎉", "'", '"', "#", "$", "%", "&", "@", "!", "?", "`", "~", "|", ";", ":", "_", "^", "\\", "{", "}", "(", ")", "[", "]", ",", ".", "=", "+", "-", "*", "/", " ", "e", "x", "0", "7"]
ADVERSARIAL = r"""
__import__('os').system('true') || (1).__class__ || exec('1') || lambda:1 || open('x') || exit() || quit() || 1if 1else 2 || a:=5 || [1,2] || {1} || {a:b} || 0x1f || 0b101 || 1_000 || 1__0 || 007 || 1e999 || -1e999 || nan || inf || Infinity || oo || zoo || E || I || pi || 5! || 5!! || 5!!! || 3!2 || 0.2[1] || .[3]
1/0 || 0/0 || 0**0 || 0^0 || -(-5) || --5 || +5 || 5+ || *5 || 5// 2 || 5%2 || 5,,6 || ,5 || 5, || () || (5 || 5) || ((5)) || [5) || )5( || 5==5 || 5=5 || 5<6 || x->5 || ... || . || .. || 5. || . 5 || 1.2.3 || 5..2 || 2j || 5j || x2 || 2x || xy || x(2) || f(x) || pi(2) || sqrt || sqrt 2 || sqrt2 || sqrt(2 || sqrt() || sqrt(-4) || sqrt(4) || sqrt(x^2) || sin(1) || ln(2) || re(5) || im(5) || li(2) || gamma || beta || xi || mu || nu
\frac || \frac{1} || \frac1 || \frac12 || \frac{1}2 || \frac1{23} || \frac{}{} || \frac{1}{0} || \sqrt || \sqrt{} || \sqrt2 || \sqrt[3] || \sqrt[3]{8} || \text{5} || \text{} || \text{ 5} || \text{5}} || 5\text{ a}\text{ b} || 5\text{ a} || \mbox{5} || \mathrm{5} || \textbf{5} || \mathbb{R} || \hat{x} || \dot{x} || \not= || \left(5\right) || \left\{5\right\} || \\5 || 5\\ || \5 || \ 5 || 5\, || 5\! || 5\!\!6 || 1,\!000 || 1{,}000 || 1\,000 || 1 000 || 12,34 || 1,2345 || \% || 5\% || \$5 || $5$ || $$5$$ || \(5\) || \[5\] || \begin{pmatrix}5 || \begin{pmatrix}\end{pmatrix} || \end{pmatrix} || \begin{array}{c}5\end{array} || \begin{cases}1&x\\2&y\end{cases} || \begin || \verb|5| || \newcommand{\a}{5}\a || \input{x} || \today || \title{5} || \item 5 || \href{a}{b} || \over || \phantom{5} || \color{red}5 || \textcolor{red}{5} || 5 \pmod{7} || \boxed || \boxed{5} || \fbox{5}
5 degrees || 5 cm || 5cm^2 || 5 meters^10 || secondsecond || 5 inches || 3 feet 2 || 5 and 6 || 5 or 6 || and || or || million || 5 million || 1.5 billion || 2 trillion || 5 dollars || 10^2 || 10^{2} || 10^10 || 2^3^x || x^(2) || x^-1 || 10^-3 || 5*10^-3 || 1.2e3 || 1.2E3 || 4.99999999 || 4.9999999 || 0.1+0.2 || 1/3 || 0.333333333333333 || 0.3333333333333333 || 1e22 || 100000000000000000000000 || 99999999999999999 || -0 || -0.0 || 5.0 || 05 || 0.50 || 3 1/2 || 3  1 / 2 || 1 2 3 || - 5 || 5 -6 || - \frac{1}{2} || 7/2 || 14/4 || -7/2 || 7/-2 || 7./2 || 7/2. || 7 /2 || 7//2 || 07/2 || 7/02 || 7/0
"""
ADVERSARIAL = [a.strip() for line in ADVERSARIAL.strip().splitlines() for a in line.split(" || ")]


def wrap(r, answer):
    """A response around a boxed answer."""
    before = " ".join(r.choices(SENTENCES, k=r.randint(0, 3)))
    return before + r.choice([" ", "\n", "\n\n", ""]) + r.choice([
        r"\boxed{%s}", r"The answer is \boxed{%s}.", "**Final Answer**\n\\boxed{%s}", r"$\boxed{%s}$", "\\[\n\\boxed{%s}\n\\]", r"So $x = \boxed{%s}$, done.", r"<think> \boxed{1} </think> \boxed{%s}",
    ]).replace("%s", answer)


def sub(pattern, to):
    return lambda r, s: re.sub(pattern, to, s)


REWRITES = {
    "same": lambda r, s: s, "pad": lambda r, s: r.choice([" ", "\n", "\t", "\xa0"]) + s + r.choice([" ", "\n", "  "]),
    "dfrac": sub(r"\\[td]?frac", r"\\dfrac"), "tfrac": sub(r"\\[td]?frac", r"\\tfrac"), "cfrac": sub(r"\\frac", r"\\cfrac"),
    "fracspace": sub(r"\\frac\{", r"\\frac {"), "fracshort": sub(r"\\frac\{(\d)\}\{(\d)\}", r"\\frac\1\2"), "fracshort2": sub(r"\\frac\{(\d)\}\{", r"\\frac\1{"),
    "slash": sub(r"\\[td]?frac\{([^{}]*)\}\{([^{}]*)\}", r"\1/\2"), "slashparen": sub(r"\\[td]?frac\{([^{}]*)\}\{([^{}]*)\}", r"(\1)/(\2)"), "over": sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"{\1 \\over \2}"),
    "fromslash": sub(r"(\d+)/(\d+)", r"\\frac{\1}{\2}"), "negden": sub(r"-\\frac\{([^{}]*)\}\{([^{}]*)\}", r"\\frac{\1}{-\2}"), "negnum": sub(r"-\\frac\{", r"\\frac{-"), "unreduced": sub(r"\\frac\{(\d+)\}\{(\d+)\}", r"\\frac{2\\cdot\1}{2\\cdot\2}"),
    "sqrtshort": sub(r"\\sqrt\{(\w)\}", r"\\sqrt\1"), "sqrtspace": sub(r"\\sqrt\{(\w)\}", r"\\sqrt \1"), "sqrtplain": sub(r"\\sqrt\{([^{}]*)\}", r"sqrt(\1)"), "sqrtstar": sub(r"(\d)\\sqrt", r"\1*\\sqrt"), "sqrtcdot": sub(r"(\d) *\\sqrt", r"\1 \\cdot \\sqrt"), "sqrtuni": sub(r"\\sqrt\{([^{}]*)\}", r"√\1"), "sqrtpow": sub(r"\\sqrt\{([^{}]*)\}", r"\1^{1/2}"), "sqrttwo": sub(r"\\sqrt\{", r"\\sqrt[2]{"),
    "piword": sub(r"\\pi", "pi"), "piuni": sub(r"\\pi", "π"), "picdot": sub(r"(\d) *\\pi", r"\1\\cdot\\pi"), "pinum": sub(r"\\pi", "3.14159"), "pibrace": sub(r"\\pi", r"{\\pi}"),
    "powbrace": sub(r"\^(\w)", r"^{\1}"), "pownobrace": sub(r"\^\{(\w)\}", r"^\1"), "powstar": sub(r"\^\{?(\w)\}?", r"**\1"), "powparen": sub(r"\^\{([^{}]*)\}", r"^(\1)"), "powuni": sub(r"\^\{?2\}?", "²"),
    "left": sub(r"\(([^()]*)\)", r"\\left(\1\\right)"), "noleft": sub(r"\\left|\\right", ""), "big": sub(r"\\left|\\right", r"\\big"), "cdottimes": sub(r"\\cdot", r"\\times"), "cdotstar": sub(r"\\cdot|\\times", "*"),
    "nospace": sub(" ", ""), "thin": sub(" ", r"\\,"), "quad": sub(", *", r",\\quad "), "commasp": sub(", *", ", "), "commatight": sub(r",\s+", ","), "semicolon": sub(",", ";"), "commaand": sub(r",\s*", " and "), "commaor": sub(r",\s*", " or "), "textand": sub(r",\s*", r" \\text{ and } "),
    "thousands": lambda r, s: re.sub(r"\d{4,}", lambda m: f"{int(m[0]):,}", s), "thousandsbang": lambda r, s: re.sub(r"\d{4,}", lambda m: f"{int(m[0]):,}".replace(",", ",\\!"), s), "thousandsbrace": lambda r, s: re.sub(r"\d{4,}", lambda m: f"{int(m[0]):,}".replace(",", "{,}"), s), "nothousands": sub(r"(?<=\d),(?=\d{3})", ""),
    "point0": sub(r"(?<![\d.])(\d+)(?![\d.])", r"\1.0"), "zeros": sub(r"(\.\d+)", r"\g<1>000"), "lead0": sub(r"(?<![\d.])\.(\d)", r"0.\1"), "nolead": sub(r"(?<!\d)0\.", "."), "sci": lambda r, s: re.sub(r"^-?\d+(\.\d+)?$", lambda m: f"{float(m[0]):e}", s), "dec": lambda r, s: re.sub(r"\\frac\{(\d+)\}\{(\d+)\}", lambda m: repr(round(int(m[1]) / int(m[2]), r.choice([2, 4, 10, 15, 17]))) if int(m[2]) else m[0], s),
    "underscore": sub(r"(\d)(\d{3})\b", r"\1_\2"), "fullwidth": lambda r, s: s.translate({ord("0") + i: 0xFF10 + i for i in range(10)}), "arabic": lambda r, s: s.translate({ord("0") + i: 0x660 + i for i in range(10)}), "minusuni": sub("-", "−"), "minussp": sub("-", "- "), "endash": sub("-", "–"),
    "degoff": sub(r"\^\{?\\circ\}?", ""), "degword": sub(r"\^\{?\\circ\}?", " degrees"), "deguni": sub(r"\^\{?\\circ\}?", "°"), "pctoff": sub(r"\\?%", ""), "dollaroff": sub(r"\\?\$", ""), "unitoff": sub(r"\\(text|mathrm)\{[ ~][^{}]*\}", ""), "textoff": sub(r"\\text\{([^{}]*)\}", r"\1"), "mathrm": sub(r"\\text\{", r"\\mathrm{"), "textbf": sub(r"\\text\{", r"\\textbf{"),
    "upper": lambda r, s: re.sub(r"(?<!\\)\b[a-z]\b", lambda m: m[0].upper(), s), "lower": lambda r, s: s.lower(), "eqflip": sub(r"^([^=]*)=([^=]*)$", r"\2=\1"), "rhs": sub(r"^[^=]*=", ""), "eqspace": sub("=", " = "), "pmatrix": sub("[pb]matrix", "bmatrix"), "vmatrix": sub("[pb]matrix", "vmatrix"), "subbrace": sub(r"_(\w)", r"_{\1}"), "bracket": lambda r, s: s.translate(str.maketrans("()[]", "[]()")), "set": lambda r, s: r"\{" + s + r"\}", "paren": lambda r, s: "(" + s + ")",
    "xeq": lambda r, s: r.choice(["x=", "x = ", "n=", "f(x)=", "xyz=", "a=b=", "="]) + s, "units": lambda r, s: s + r.choice([" cm", r"\text{ cm}", r"\text{cm}", " degrees", r"\,\mathrm{m}", " units", "%", r"\%", " kg", "^2", r"\text{ square feet}", " meters per second", r" \text{ dollars}"]), "wrapdollar": lambda r, s: "$" + s + "$", "wraptext": lambda r, s: r"\text{" + s + "}", "wrapbf": lambda r, s: r"\mathbf{" + s + "}", "wrapbrace": lambda r, s: "{" + s + "}", "wrapmath": lambda r, s: r"\(" + s + r"\)", "wrapcolor": lambda r, s: r"\color{red}{" + s + "}", "wrapunder": lambda r, s: r"\underline{" + s + "}", "display": lambda r, s: r"\displaystyle " + s,
    "dot": lambda r, s: s + ".", "comma": lambda r, s: s + ",", "approx": lambda r, s: r"\approx " + s, "plus0": lambda r, s: s + "+0", "times1": lambda r, s: "1*(" + s + ")", "minus0": lambda r, s: s + "-1+1", "halves": lambda r, s: "(" + s + ")/2*2", "negneg": lambda r, s: "-(-(" + s + "))", "repeat": lambda r, s: s + ", " + s, "or": lambda r, s: s + " or " + s, "amp": lambda r, s: "&" + s, "ldots": lambda r, s: s + r"\ldots", "odd": lambda r, s: r.choice(ODD) + s + r.choice(ODD),
    "sum": lambda r, s: "+".join(reversed(s.split("+"))), "factorial": lambda r, s: s + "!", "spelled": lambda r, s: {"1": "one", "7": "seven", "42": "forty-two"}.get(s, s), "million": lambda r, s: re.sub("000000$", " million", s),
}
NEAR = {
    "digit": lambda r, s: re.sub(r"\d", lambda m: r.choice("0123456789"), s, count=1), "plus1": lambda r, s: s + "+1", "double": lambda r, s: "2*(" + s + ")", "neg": lambda r, s: "-" + s, "sign": lambda r, s: s.replace("+", "-") if "+" in s else s.replace("-", "+"), "recip": sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"\\frac{\2}{\1}"), "trunc": lambda r, s: s[:-1], "rev": lambda r, s: s[::-1], "drop": sub(r",[^,]*$", ""), "extra": lambda r, s: s + ",0", "shuffle": lambda r, s: ",".join(sorted(s.split(","), reverse=True)), "off": lambda r, s: re.sub(r"\d+", lambda m: str(int(m[0]) + r.choice([-1, 1])), s, count=1), "zero": lambda r, s: s + "0", "half": lambda r, s: "(" + s + ")/2", "sqrtoff": sub(r"\\sqrt", ""),
}
BOXES = {
    "none": "%s", "answer": "Answer: %s", "unclosed": r"\boxed{%s", "open": r"\boxed{{%s}", "close": r"\boxed{%s}}", "space": r"\boxed {%s}", "nobrace": r"\boxed %s", "opt": r"\boxed[1]{%s}", "star": r"\boxed*{%s}", "upper": r"\Boxed{%s}", "noslash": "boxed{%s}", "dblslash": r"\\boxed{%s}", "fbox": r"\fbox{%s}", "fboxin": r"\boxed{\fbox{%s}}", "fboxafter": r"\boxed{%s} or \fbox{3}", "nested": r"\boxed{\boxed{%s}}", "nestedtext": r"\boxed{\text{so } \boxed{%s}}",
    "twice": r"\boxed{%s} and \boxed{%s}", "wronglast": r"\boxed{%s}, no: \boxed{123}", "wrongfirst": r"\boxed{123}, no: \boxed{%s}", "thenempty": r"\boxed{%s} \boxed{}", "empty": r"\boxed{} %s", "blank": r"\boxed{ }", "mention": r"\boxed{%s} in \boxed", "mentionbrace": r"\boxed{%s} in \boxed {x}", "newline": "\\boxed{\n%s\n}", "crlf": "\\boxed{\r\n%s\r\n}", "nul": "\\boxed{%s\x00}", "nulout": "\x00\\boxed{%s}\x00", "nothing": "", "onlyspace": " \n", "escaped": r"\boxed\{%s\}", "think": r"<think>\boxed{%s}</think> It is %s.", "long": r"\boxed{%s}" + " and so on" * 300, "text": r"\text{\boxed{%s}}", "align": "\\begin{align*}\nx &= 2\\\\\n&= \\boxed{%s}\n\\end{align*}",
}


def algebra(r, s):
    """The same value as sympy writes it, where there is a sympy and it reads the text."""
    try:
        import sympy
    except ImportError:
        return s
    text = re.sub(r"\\[td]?frac\{([^{}]*)\}\{([^{}]*)\}", r"((\1)/(\2))", s.strip("$"))
    text = re.sub(r"\\sqrt\{([^{}]*)\}", r"sqrt(\1)", text).replace(r"\pi", "pi").replace("^", "**").replace("{", "(").replace("}", ")")
    text = re.sub(r"(\d|\)) *(?=[a-z(])", r"\1*", text)
    if not re.fullmatch(r"[0-9a-z+\-*/(). ]{1,40}", text) or re.search(r"[0-9]{6}|\*\*..", text):
        return s
    try:
        e = sympy.sympify(text)
        f = r.choice([sympy.expand, sympy.factor, sympy.together, sympy.radsimp, lambda e: sympy.N(e, r.choice([3, 5, 10, 15, 20])), lambda e: e + 1, lambda e: 2 * e])
        return str(r.choice([str, sympy.latex, lambda e: str(e).replace("**", "^")])(f(e)))
    except Exception:
        return s


def fuzz(r, s):
    for _ in range(r.randint(1, 3)):
        i = r.randint(0, len(s))
        s = r.choice([s[:i] + r.choice(ODD) + s[i:], s[:i] + s[i + 1:], s[:i] + s[i:i + 2] + s[i:]])
    return s


def pair(r, truths):
    truth = r.choice(truths)
    bare = truth[7:-1] if truth.startswith(r"\boxed{") else truth
    kind = r.choices(["rewrite", "twice", "near", "box", "fuzz", "adversarial", "algebra", "other"], [30, 15, 12, 12, 10, 10, 8, 3])[0]
    if kind in ("rewrite", "twice"):
        changed = [k for k in REWRITES if REWRITES[k](random.Random(1), bare) != bare]
        names = r.sample(changed, min(len(changed), 1 if kind == "rewrite" else 2))
        answer = bare
        for n in names:
            answer = REWRITES[n](r, answer)
        return "+".join(names), wrap(r, answer), truth
    if kind == "near":
        name = r.choice(list(NEAR))
        return "near_" + name, wrap(r, NEAR[name](r, bare)), truth
    if kind == "box":
        name = r.choice(list(BOXES))
        return "box_" + name, r.choice(SENTENCES) + " " + BOXES[name].replace("%s", bare), truth
    if kind == "fuzz":
        return kind, wrap(r, fuzz(r, bare)), r.choice([truth, truth, fuzz(r, truth)])
    if kind == "adversarial":
        a = r.choice(ADVERSARIAL)
        return kind, wrap(r, a), r.choice([truth, r.choice(ADVERSARIAL), r.choice(["5", "x", "7/2", a, fuzz(r, a)])])
    if kind == "algebra":
        return kind, wrap(r, algebra(r, bare)), truth
    return kind, wrap(r, r.choice(truths)), truth


def main():
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    text = "" if sys.stdin.isatty() else sys.stdin.read()
    truths = TRUTHS + (json.loads(text or "[]") or [])
    for i in range(count):
        r = random.Random(seed * 1_000_003 + i)
        kind, response, truth = pair(r, truths)
        print(json.dumps({"id": f"g{seed}-{i}", "kind": kind, "response": response, "ground_truth": truth}))


if __name__ == "__main__":
    main()
