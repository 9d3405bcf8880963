"""Writes lines.json: what the authors' way of reading (Python's json module,
int() of the id) makes of lines, as the oracle of decode_test.go.
Text is given as its code points, because a lone surrogate has no UTF-8."""
import json

R = '"answer": "4", "response": '
CASES = {
    "plain": '{"example_id": 0, "prompt": "p", "answer": "4", "seed": 7, "response": "so 4"}',
    "no space": '{"example_id":3,"answer":"4","response":"r"}',
    "white space anywhere": ' {\t"example_id" : 3 , %s"r" }\t' % R,
    "id as text": '{"example_id": " 12 ", %s"r"}' % R,
    "id as text with sign": '{"example_id": "+12", %s"r"}' % R,
    "id as float": '{"example_id": 3.0, %s"r"}' % R,
    "id as float with exponent": '{"example_id": 1e1, %s"r"}' % R,
    "id is a fraction": '{"example_id": 3.5, %s"r"}' % R,
    "id as text of a float": '{"example_id": "3.0", %s"r"}' % R,
    "id is null": '{"example_id": null, %s"r"}' % R,
    "id is NaN": '{"example_id": NaN, %s"r"}' % R,
    "id is missing": '{%s"r"}' % R,
    "last of two keys": '{"example_id": 1, "example_id": 2, "response": 5, %s"r", "response": "last"}' % R,
    "key with an escape": '{"ex\\u0061mple_id": 4, %s"r"}' % R,
    "NaN elsewhere": '{"example_id": 1, "logprob": NaN, "x": [Infinity, -Infinity, {"y": -NaNny}], %s"r"}' % R,
    "infinities elsewhere": '{"example_id": 1, "logprob": NaN, "x": [Infinity, -Infinity, {"y": -0.5e+3}], %s"r"}' % R,
    "lone high surrogate": '{"example_id": 1, %s"a\\ud800b"}' % R,
    "lone low surrogate": '{"example_id": 1, %s"a\\uDC00"}' % R,
    "two high, one low": '{"example_id": 1, %s"\\ud83d\\ud83d\\ude00"}' % R,
    "surrogate pair": '{"example_id": 1, %s"\\ud83d\\ude00"}' % R,
    "surrogate and an escape": '{"example_id": 1, %s"\\ud83d\\n"}' % R,
    "all escapes": '{"example_id": 1, %s"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u4e2d\\u0000"}' % R,
    "escape that is none": '{"example_id": 1, %s"\\x41"}' % R,
    "short escape": '{"example_id": 1, %s"\\u41"}' % R,
    "escape with a sign": '{"example_id": 1, %s"\\u+041"}' % R,
    "control character": '{"example_id": 1, %s"a\x01b"}' % R,
    "tab in text": '{"example_id": 1, %s"a\tb"}' % R,
    "delete is no control character": '{"example_id": 1, %s"a\x7fb"}' % R,
    "separators are plain": '{"example_id": 1, %s"a\u2028b\u0085c"}' % R,
    "text that is long": '{"example_id": 1, %s"%s"}' % (R, "12345678\\n中" * 50),
    "leading zero": '{"example_id": 01, %s"r"}' % R,
    "plus sign": '{"example_id": +1, %s"r"}' % R,
    "point without digits": '{"example_id": 1., %s"r"}' % R,
    "nested": '{"example_id": 1, "x": {"a": [1, {"b": []}, {}], "c": true, "d": false, "e": null}, %s"r"}' % R,
    "trailing comma": '{"example_id": 1, %s"r",}' % R,
    "trailing comma in a list": '{"example_id": 1, "x": [1,], %s"r"}' % R,
    "single quotes": "{'example_id': 1}",
    "two objects": '{"example_id": 1, %s"r"} {}' % R,
    "a list": "[1]",
    "a number": "5",
    "cut in text": '{"example_id": 1, %s"r' % R,
    "cut after a backslash": '{"example_id": 1, %s"r\\' % R,
    "cut in an escape": '{"example_id": 1, %s"r\\u00' % R,
    "cut before the brace": '{"example_id": 1, %s"r"' % R,
    "cut in a key": '{"exam',
    "word cut": '{"example_id": 1, "x": tru, %s"r"}' % R,
    "comment": '{"example_id": 1, /* no */ %s"r"}' % R,
    "vertical tab between": '{"example_id": 1,\x0b%s"r"}' % R,
    "no-break space between": '{"example_id": 1,\u00a0%s"r"}' % R,
    "deep": '{"example_id": 1, "x": %s, %s"r"}' % ("[" * 500 + "]" * 500, R),
    "too deep": '{"example_id": 1, "x": %s, %s"r"}' % ("[" * 100000 + "]" * 100000, R),
}

out = []
for name, line in CASES.items():
    case = {"name": name, "line": line}
    if len(line) > 5000:
        continue  # made by the test itself
    try:
        data = json.loads(line)
        case["id"] = int(data["example_id"])
        case["response"] = [ord(c) for c in data["response"]]
        case["answer"] = [ord(c) for c in data["answer"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        case["refused"] = True
    out.append(case)
with open("lines.json", "w") as f:
    json.dump(out, f, indent=1)
    f.write("\n")
