"""Grades pairs as another grader does: peer.py GRADER WORKERS PAIRS VERDICTS

GRADER is "official PATH", the authors' utils.py, or "math-verify". The pairs are
JSON lines of response and ground_truth; the verdicts are a line each, true or
false. The work is handed to processes in pieces, as many pieces as keep them all
busy to the end.
"""

import importlib.util
import json
import multiprocessing
import sys
import warnings

warnings.filterwarnings("ignore")
PIECE = 16  # pairs


def official(path):
    spec = importlib.util.spec_from_file_location("official_utils", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.grade_answer_verl


def math_verify():
    from math_verify import parse, verify

    def grade(response, truth):
        # Its own way: a truth is LaTeX and stands in dollars.
        return bool(verify(parse("$" + truth + "$"), parse(response)))

    return grade


def start(name):
    global grade
    grade = math_verify() if name == "math-verify" else official(name.removeprefix("official "))


def judge(pair):
    try:
        return bool(grade(pair["response"], pair["ground_truth"]))
    except Exception:
        return False


def main():
    name, workers, pairs, verdicts = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    with open(pairs, encoding="utf-8") as lines:
        work = [json.loads(line) for line in lines]
    with multiprocessing.Pool(workers, start, (name,)) as pool, open(verdicts, "w") as out:
        for verdict in pool.imap(judge, work, PIECE):
            out.write("true\n" if verdict else "false\n")


if __name__ == "__main__":
    main()
