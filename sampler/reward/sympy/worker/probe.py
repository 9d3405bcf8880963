# Asked of a user's interpreter: what it is and where it has the libraries.
import sys

if sys.implementation.name != "cpython" or sys.version_info < (3, 8):
    sys.exit("it is %s %s" % (sys.implementation.name, sys.version.split()[0]))
import importlib.util
import json
import os

sys.path[:] = [p for p in sys.path if p]  # not the folder that the user is in
missing, path = [], []
for name in ("sympy", "mpmath", "pylatexenc"):
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.origin:
        missing.append(name)
        continue
    folder = os.path.dirname(os.path.dirname(os.path.abspath(spec.origin)))
    if folder not in path:
        path.append(folder)
print(json.dumps({"executable": sys.executable, "missing": missing, "path": path}))
