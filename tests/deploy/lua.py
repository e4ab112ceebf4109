"""Asks a health check of Argo CD's, for tests: python3 lua.py FOLDER_OF_LUPA, with {"script": …, "objects": [{…}, …]} as
JSON on standard input. Prints what it answers to each object, as JSON too."""

import json
import sys

sys.path.insert(0, sys.argv[1])

# The language of the interpreter in Argo CD.
from lupa.lua51 import LuaRuntime  # noqa: E402

wanted = json.load(sys.stdin)
lua = LuaRuntime(register_eval=False, register_builtins=False)
# No more of the standard library than Argo CD gives it.
lua.execute("io, require, package, debug, dofile, loadfile = nil")


def to_lua(value):
    if isinstance(value, dict):
        return lua.table_from({key: to_lua(it) for key, it in value.items() if it is not None})
    if isinstance(value, list):
        return lua.table_from([to_lua(it) for it in value])
    return value


answers = []
for it in wanted["objects"]:
    lua.globals().obj = to_lua(it)
    answers.append(dict(lua.execute(wanted["script"])))
json.dump(answers, sys.stdout)
