# Asked of a user's interpreter: what it is and where it has the libraries.
import sys

if sys.implementation.name != "cpython" or sys.version_info < (3, 8):
    sys.exit("it is %s %s" % (sys.implementation.name, sys.version.split()[0]))
import importlib.util
import json
import os

sys.path[:] = [os.path.abspath(p) for p in sys.path if p]  # not the folder that the user is in
missing, path = [], []
for name in ("sympy", "mpmath", "pylatexenc"):
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.origin:
        missing.append(name)
        continue
    folder = os.path.dirname(os.path.dirname(os.path.abspath(spec.origin)))
    if folder not in path:
        path.append(folder)
path.sort(key=lambda p: sys.path.index(p) if p in sys.path else -1)  # what the user has first stays first
print(json.dumps({"executable": sys.executable, "missing": missing, "path": path}))
