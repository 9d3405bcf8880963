# official.py UTILS LIB…: answers questions with the official grader (its file
# UTILS), for tests: a JSON list [kind, first, second] a line in, the answer a
# line out; null where it takes over 20 s. Unconfined: only for texts of ours.
import importlib.util
import json
import signal
import sys

sys.path[:] = [p for p in sys.path if p] + sys.argv[2:]
spec = importlib.util.spec_from_file_location("utils", sys.argv[1])
utils = importlib.util.module_from_spec(spec)
spec.loader.exec_module(utils)


class TooLong(BaseException):
    pass


def ring(*_):
    global rang
    rang = True
    raise TooLong


signal.signal(signal.SIGALRM, ring)
for line in sys.stdin:
    kind, first, second = json.loads(line)
    rang, answer = False, None
    try:
        signal.alarm(20)
        answer = utils._normalize(first) if kind == "N" else bool(utils.are_equal_under_sympy(first, second))
    except TooLong:
        pass
    signal.alarm(0)
    print(json.dumps(None if rang else answer), flush=True)  # the official code swallows TooLong
