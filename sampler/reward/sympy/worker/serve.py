# The worker's side of the pipe. A question is a kind (one byte), a number, two
# lengths and two texts; an answer the number, a kind, a length and a text. All
# integers are 32 bits, big-endian; texts are UTF-8 in which lone surrogates
# pass, as Python's strings may hold them.
import codecs
import gc
import json
import os
import signal
import struct
import sys

QUESTION, ANSWER = struct.Struct(">cIII"), struct.Struct(">IcI")


def surrogates(error):
    if isinstance(error, UnicodeDecodeError):
        three = error.object[error.start : error.start + 3]
        if len(three) == 3 and three[0] == 0xED and three[1] >= 0xA0 and three[2] & 0xC0 == 0x80:
            return chr(0xD000 | (three[1] & 0x3F) << 6 | three[2] & 0x3F), error.start + 3
        return "\ufffd", error.end
    raise error


codecs.register_error("justrl", surrogates)


def take(n):
    parts = []
    while n:
        part = os.read(0, min(n, 1 << 20))
        if not part:  # the pool is gone
            os._exit(0)
        parts.append(part)
        n -= len(part)
    return b"".join(parts)


def give(out, number, kind, text=b""):
    data = ANSWER.pack(number, kind, len(text)) + text
    while data:
        data = data[os.write(out, data) :]


def answer(kind, first, second):
    if kind == b"N":
        return b"n", normalize(first).encode("utf-8", "surrogatepass")
    if kind == b"E":
        return (b"t" if equal(first, second) else b"f"), b""
    return b"?", b""


def quiet():
    """The pipe under a number of its own; whatever is printed goes nowhere."""
    out = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (1, 2):
        os.dup2(nowhere, fd)
    os.close(nowhere)
    return out


def warm():
    """Reads what a pair usually needs before anything is forbidden."""
    import sympy.physics.units  # simplify looks for quantities

    for text in ("\\frac{1}{2}", "\\sqrt{x^2} + 1,000 or 2\\pi"):
        normalize(text)
    for pair in (("sqrt(8)*x/2", "x*sqrt(2)"), ("2*pi/3", "ln(x)**2"), ("(x+1)**2", "x**2+2*x+1"), ("0.5", "1/2!")):
        equal(*pair)


def serve(settings):
    seconds = settings["seconds"]
    warm()
    # What is there stays: not to be looked through for garbage again and again.
    gc.collect()
    gc.freeze()
    versions = {
        "python": sys.version.split()[0],
        "sympy": sympy.__version__,
        "mpmath": sys.modules["mpmath"].__version__,
        "pylatexenc": sys.modules["pylatexenc"].__version__,
    }
    out = quiet()
    try:
        holding = confine(settings["layers"], [os.path.dirname(os.__file__)] + settings["path"], settings["memory"])
    except Unsafe as e:
        give(out, 0, b"x", str(e).encode())
        return
    except Exception as e:  # nobody hears what it would print
        give(out, 0, b"x", ("confinement: %s: %s" % (type(e).__name__, e)).encode())
        return
    give(out, 0, b"r", json.dumps({"versions": versions, "holding": holding}).encode())
    while True:
        kind, number, n, m = QUESTION.unpack(take(QUESTION.size))
        first, second = take(n).decode("utf-8", "justrl"), take(m).decode("utf-8", "justrl")
        # The kernel ends the process when its CPU time for the pair is up: what
        # it does cannot prevent that, and a busy machine makes no difference.
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            status, text = answer(kind, first, second)
        except MemoryError:
            status, text = b"m", b""
        signal.setitimer(signal.ITIMER_PROF, 0)
        give(out, number, status, text)
