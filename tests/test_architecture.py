"""The law of the tree. Every rule that can be checked by reading the source is checked here, with `ast` alone.

Imports are counted wherever they stand: at the top, inside a function, under TYPE_CHECKING.
"""

from __future__ import annotations

import ast
import inspect
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import lookalike
from lookalike import errors, ports

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"

# From the ground up. A name is a module or a package of lookalike; "" is lookalike/__init__.py, the public face.
LADDER = {
    "ground": {
        "errors",
        "spaces",
        "known",
        "secret",
        "places",
        "policy",
        "rollout",
        "usage",
        "orders",
        "types",
        "health",
        "cached",
        "calls",
        "chunks",
        "ports",
        "retry",
        "messages",
        "wire",
        "memory",
        "files",
        "forks",
        "sql",
        "tables",
        "contents",
        "changeover",
        "postgres",
    },
    "transforms": {
        "image",
        "jpeg",
        "png",
        "heic",
        "levels",
        "facts",
        "pixels",
        "tokens",
        "vectors",
        "confidence",
        "occlusion",
        "thumbnails",
    },
    "adapters": {"encoders", "providers", "cache", "metering", "projection", "queues", "store", "sources", "weights"},
    "pipeline": {
        "embed",
        "caching",
        "flights",
        "canary",
        "fallback",
        "parity",
        "bridge",
        "cost",
        "progress",
        "changes",
        "ingest",
        "working",
        "importing",
        "copying",
        "changing",
        "survey",
        "query",
        "bank",
        "search",
        "duplicates",
        "explain",
        "landscape",
        "batching",
        "workers",
    },
    "app": {
        "config",
        "environment",
        "app",
        "caches",
        "hosted",
        "transfer",
        "attaching",
        "beside",
        "service",
        "variants",
        "index",
        "compat",
        "metrics",
        "client",
        "aio",
    },
    "face": {""},
    "edges": {"cli", "http", "web", "serverless"},
}
RUNG = {name: number for number, names in enumerate(LADDER.values()) for name in names}

STARTS = {
    ("cli", "http"),  # `lookalike serve` is a command
    ("serverless", "http"),  # keys, statuses and what requests say: what of http/ needs no web framework
}

TELEMETRY_OFF = "os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')"

MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 7
MAX_PORT_METHODS = 4
MAX_TYPE_IGNORES = 5
MAX_BROAD_EXCEPTS = 2
MAX_IMPORT_S = 0.1

FRAMEWORKS = {"fastapi", "uvicorn"}  # what `http/` is made of: one package instead of one file
INDIRECT = {"uvloop"}  # uvicorn uses it where it is installed
# Where it is not the project's name.
IMPORT_NAMES = {"pillow-heif": "pillow_heif", "python-multipart": "python_multipart", "scikit-learn": "sklearn"}
Node = TypeVar("Node", bound=ast.AST)
NAMING = {
    "lookalike.sources.pgvector",
    "lookalike.sources.rows",
    "lookalike.store.attached.measuring",
    "lookalike.store.attached.shape",
    "lookalike.store.attached.writing",
}
"""Put names of somebody's tables and columns into statements, each as a quoted identifier."""

NUMBERS = {"number", "space", "dim"}
"""What a space's number and the length of its vectors are called; mypy knows that they are integers."""

OWN_WORDS = {
    "lookalike.cache.sqlite": "name",
    "lookalike.cache.sqlite_file": "name",
    "lookalike.postgres": "channel",
    "lookalike.store.attached.finding": "text",
    "lookalike.store.database": "sql['create']",
    "lookalike.store.postgres.finding": "statement",
}
"""What a module executes behind PRAGMA, LISTEN, EXPLAIN or BEGIN: a word of its own, a statement made before."""

SQL = re.compile(r"\s*(SELECT|INSERT|REPLACE|UPDATE|DELETE|CREATE|ALTER|DROP|WITH)\s")


def module_name(path: Path) -> str:
    """The dotted name: "lookalike.store.scan", "lookalike.cli" for its __init__.py."""
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {path: ast.parse(path.read_text(encoding="utf-8"), str(path)) for path in sorted(SRC.rglob("*.py"))}
MODULES = {module_name(path): tree for path, tree in TREES.items()}
PACKAGES = {module_name(path) for path in TREES if path.name == "__init__.py"}


def nodes(kind: type[Node]) -> Iterator[tuple[str, Node]]:
    """Every node of this kind, with "file:line" for people."""
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, kind):
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", node


def imported(module: str, node: ast.AST) -> Iterator[str]:
    """The dotted names that a statement imports: of lookalike the very modules, of others what stands there."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        levels_up = node.level - (module in PACKAGES) if node.level else 0
        start = module.split(".")[: len(module.split(".")) - levels_up] if node.level else []
        base = ".".join([*start, *([node.module] if node.module else [])])
        for alias in node.names:
            yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base


IMPORTS = {m: {name for node in ast.walk(tree) for name in imported(m, node)} for m, tree in MODULES.items()}


def place(module: str) -> str:
    """The name that the ladder has for a module: "store" for lookalike.store.scan, "" for lookalike itself."""
    name = [*module.split("."), ""][1]
    return "cli" if name == "__main__" else name  # `python -m lookalike` is the command line by another name


def inner_arrows() -> Iterator[tuple[str, str]]:
    """Every (importer, imported) within lookalike."""
    for module, names in IMPORTS.items():
        yield from ((module, name) for name in sorted(names) if name.split(".")[0] == "lookalike")


def extras() -> dict[str, set[str]]:
    """The import names that each extra of pyproject.toml brings."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    names = {extra: {re.split(r"[\[<>=!~; ]", line)[0] for line in lines} for extra, lines in table.items()}
    return {
        extra: {IMPORT_NAMES.get(n, n.replace("-", "_")) for n in found} - {"lookalike"}
        for extra, found in names.items()
    }


def error_classes() -> list[type[errors.LookalikeError]]:
    """The whole tree of errors.py."""
    found = [cls for _, cls in inspect.getmembers(errors, inspect.isclass)]
    return [cls for cls in found if issubclass(cls, errors.LookalikeError)]


def words(*expressions: ast.expr) -> set[str]:
    """The plain names in these expressions."""
    return {node.id for expression in expressions for node in ast.walk(expression) if isinstance(node, ast.Name)}


def run_python(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout


def test_every_module_has_a_rung() -> None:
    """A module or package at the top of lookalike is named in the ladder above."""
    assert {place(module) for module in MODULES} <= RUNG.keys()


def test_imports_run_downward() -> None:
    """A module imports from its own rung or from one below."""
    assert not [f"{a} -> {b}" for a, b in inner_arrows() if RUNG[place(a)] < RUNG[place(b)]]


def test_adapters_and_edges_stand_alone() -> None:
    """No adapter imports another kind of adapter, and only itself and the command that starts it imports an edge."""
    assert not [
        f"{a} -> {b}"
        for a, b in inner_arrows()
        if place(a) != place(b)
        and (place(a), place(b)) not in STARTS
        and (place(b) in LADDER["edges"] or {place(a), place(b)} <= LADDER["adapters"])
    ]


def test_the_pipeline_composes_ports() -> None:
    """The pipeline imports no adapter and no library but numpy: it is handed what it works with."""
    allowed = sys.stdlib_module_names | {"numpy", "lookalike"}
    pipeline = [(a, b) for a, names in IMPORTS.items() for b in names if place(a) in LADDER["pipeline"]]
    assert not [f"{a} -> {b}" for a, b in pipeline if b.split(".")[0] not in allowed or place(b) in LADDER["adapters"]]


def test_no_import_cycles() -> None:
    """No module reaches itself through imports, lazy ones included."""
    graph = {a: {b for b in names if b in MODULES and b != a} for a, names in IMPORTS.items()}
    TopologicalSorter(graph).prepare()


def test_an_optional_library_has_one_file() -> None:
    """A library of an extra is imported by exactly one source file.

    The web framework is the exception: it is imported by exactly one package.
    """
    importers = [(place(m), m, {name.split(".")[0] for name in names}) for m, names in IMPORTS.items()]
    users = {
        library: {package if library in FRAMEWORKS else m for package, m, names in importers if library in names}
        for libraries in extras().values()
        for library in libraries
    }
    assert {library: found for library, found in users.items() if len(found) != (library not in INDIRECT)} == {}


def test_files_are_short() -> None:
    """No source file is longer than can be read in one sitting."""
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in TREES}
    assert {name: n for name, n in lengths.items() if n > MAX_FILE_LINES} == {}


def test_the_docs_draw_this_ladder() -> None:
    """The table of rungs in docs/design.md names the modules of each rung that there are, and no others."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| (`.*?) \|", text, re.MULTILINE)
    drawn = {rung: {name.rstrip("/") for name in re.findall(r"`([^`]*)`", names)} for rung, names in rows}
    ladder = {rung: {name or "lookalike/__init__.py" for name in names} for rung, names in LADDER.items()}
    assert {rung: sorted(drawn[rung] ^ names) for rung, names in ladder.items() if drawn[rung] != names} == {}


def test_functions_are_short_and_take_few_parameters() -> None:
    """A function fits on a screen and takes few parameters, self aside; past that, make a frozen value."""
    bad = {}
    functions: list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]
    functions = [*nodes(ast.FunctionDef), *nodes(ast.AsyncFunctionDef)]
    for where, node in functions:
        spec = node.args
        names = [a.arg for a in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs, spec.vararg, spec.kwarg) if a]
        n_parameters = len([name for name in names if name not in {"self", "cls"}])
        n_lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if n_lines > MAX_FUNCTION_LINES or n_parameters > MAX_PARAMETERS:
            bad[f"{where} {node.name}"] = f"{n_lines} lines, {n_parameters} parameters"
    assert bad == {}


def test_the_public_face_is_its_list() -> None:
    """`lookalike.__all__` is sorted and is exactly what the package offers, modules and dunders aside."""
    listed = list(lookalike.__all__)
    offered = {name for name in dir(lookalike) if not name.startswith("_")}
    modules = {name for name in offered if isinstance(getattr(lookalike, name), ModuleType)}
    assert listed == sorted(listed)
    assert {name for name in listed if not name.startswith("_")} == offered - modules - {"annotations"}


def test_only_config_reads_the_environment() -> None:
    """os.environ and os.getenv are named in config.py alone, but for what a foreign library has to find there."""
    names = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
    found = [w for w, n in nodes(ast.Attribute) if ast.unparse(n) in {f"os.{name}" for name in names}]
    found += [w for w, n in nodes(ast.ImportFrom) if n.module == "os" and names & {a.name for a in n.names}]
    told = [w for w, n in nodes(ast.Call) if ast.unparse(n) == TELEMETRY_OFF]
    assert [where for where in found if not where.startswith("src/lookalike/config.py:")] == told


def test_no_runtime_is_imported_with_its_telemetry() -> None:
    """ONNX Runtime and OpenVINO are imported in one place each, right behind what silences them."""
    silenced = {"import onnxruntime": TELEMETRY_OFF, "import openvino": "sys.modules.setdefault('openvino_telemetry'"}
    for statement, silence in silenced.items():
        bodies = [ast.unparse(n).splitlines() for _, n in nodes(ast.FunctionDef)]
        found = [(body, body.index(f"        {statement}")) for body in bodies if f"        {statement}" in body]
        assert [body[place - 2].strip().startswith(silence) for body, place in found] == [True], statement


def test_type_ignores_are_few_and_have_a_code() -> None:
    """`type: ignore` names the error that it silences, and there are hardly any."""
    comments = [
        f"{path.relative_to(ROOT)}:{token.start[0]} {token.string}"
        for path in TREES
        for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
        if token.type == tokenize.COMMENT and re.match(r"#\s*type:\s*ignore", token.string)
    ]
    assert [comment for comment in comments if not re.search(r"ignore\[[a-z-]+(, ?[a-z-]+)*\]", comment)] == []
    assert len(comments) <= MAX_TYPE_IGNORES, comments


def test_broad_excepts_are_few() -> None:
    """What is swallowed is named: no `except Exception`, bare `except` or suppress(Exception), but for two places.

    A handler that cleans up and ends with a bare `raise` swallows nothing, nor one that hands a thread's error on.
    """
    broad = {"Exception", "BaseException"}
    handlers = [(w, n) for w, n in nodes(ast.ExceptHandler) if not n.type or broad & words(n.type)]
    found = [w for w, n in handlers if not re.search(r"^raise$|\.set_exception\(error\)$", ast.unparse(n.body[-1]))]
    found += [w for w, n in nodes(ast.Call) if ast.unparse(n.func).endswith("suppress") and broad & words(*n.args)]
    assert len(found) <= MAX_BROAD_EXCEPTS, found


def test_ports_are_small() -> None:
    """A Protocol of ports.py has at most four methods; its properties are facts, not work."""
    protocols = [c for _, c in inspect.getmembers(ports, inspect.isclass) if c.__module__ == ports.__name__]
    methods = {c.__name__: [n for n, v in vars(c).items() if inspect.isfunction(v) and n[0] != "_"] for c in protocols}
    assert methods
    assert {name: found for name, found in methods.items() if not 1 <= len(found) <= MAX_PORT_METHODS} == {}


def test_sql_lives_in_sql_files() -> None:
    """No string in Python is a statement of SQL; PRAGMA, BEGIN and COMMIT are not meant."""
    strings = [(w, n.value) for w, n in nodes(ast.Constant) if isinstance(n.value, str)]
    assert [f"{where} {value[:40]!r}" for where, value in strings if SQL.match(value)] == []


def test_values_never_become_sql() -> None:
    """What is put into a statement is a number or a constant; names of tables and columns in `NAMING` alone, quoted."""
    found = []
    for module, tree in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                parts = into_statement(module, node) if module not in NAMING else ()
                parts = (*parts, *into_execution(node))
                told = [ast.unparse(one) for one in parts if not is_number(one)]
                found += [f"{module}:{node.lineno} {one}" for one in told if one != OWN_WORDS.get(module)]
    assert found == []
    assert [module for module in NAMING if not {"quoted", "named"} & words(*defined(module))] == []


def into_statement(module: str, call: ast.Call) -> Iterator[ast.expr]:
    """What `_SQL["name"].format(...)` puts into a statement; `**names` as the dictionary that is called so there."""
    assert isinstance(call.func, ast.Attribute)
    if call.func.attr not in {"format", "format_map", "replace"} or not isinstance(call.func.value, ast.Subscript):
        return
    if not re.search(r"sql|_[A-Z]+$", ast.unparse(call.func.value.value)):
        return
    arguments = (node for node in ast.walk(MODULES[module]) if isinstance(node, ast.arg) and node.annotation)
    integers = {one.arg for one in arguments if one.annotation and ast.unparse(one.annotation) == "int"}
    for keyword in [*call.keywords, *(ast.keyword(None, one) for one in call.args)]:
        if ast.unparse(keyword.value) in integers:  # mypy sees to that
            continue
        named = [
            node.value
            for node in ast.walk(MODULES[module])
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == ast.unparse(keyword.value)
        ]
        dictionaries = [one for one in named if isinstance(one, ast.Dict)]
        if keyword.arg is None and dictionaries:
            yield from (value for one in dictionaries for value in one.values)
        else:
            yield keyword.value


def into_execution(call: ast.Call) -> Iterator[ast.expr]:
    """What an f-string or a sum puts into what is executed at once."""
    assert isinstance(call.func, ast.Attribute)
    if call.func.attr not in {"execute", "executemany", "executescript", "copy", "stream"} or not call.args:
        return
    keys = {inner for one in ast.walk(call.args[0]) if isinstance(one, ast.Subscript) for inner in ast.walk(one.slice)}
    for node in ast.walk(call.args[0]):
        if node in keys:  # the name of a statement
            continue
        if isinstance(node, ast.FormattedValue):
            yield node.value
        elif isinstance(node, ast.BinOp) and not is_number(node) and isinstance(node.op, ast.Add | ast.Mod):
            yield from (node.left, node.right)


def is_number(node: ast.expr) -> bool:
    """Whether an expression is a number or a constant."""
    if isinstance(node, ast.BinOp):
        return is_number(node.left) and is_number(node.right)
    if isinstance(node, ast.IfExp):
        return is_number(node.body) and is_number(node.orelse)
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) == "int"
    last = ast.unparse(node).rpartition(".")[2]
    return isinstance(node, ast.Constant) or last.isupper() or last.lstrip("_") in NUMBERS


def defined(module: str) -> Iterator[ast.expr]:
    """Every expression that is called in a module."""
    yield from (node.func for node in ast.walk(MODULES[module]) if isinstance(node, ast.Call))
    yield from (arg for node in ast.walk(MODULES[module]) if isinstance(node, ast.Call) for arg in node.args)


def test_errors_are_sentences_and_are_documented() -> None:
    """An error class says in one sentence what happened, knows whether trying again helps, and is in the docs."""
    docs = "\n".join(p.read_text(encoding="utf-8") for p in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])
    for cls in error_classes():
        summary = (vars(cls)["__doc__"] or "").splitlines()[0]
        assert summary.endswith("."), f"{cls.__name__} has no sentence for a docstring"
        assert isinstance(cls.retryable, bool), f"{cls.__name__}.retryable is not a bool"
        assert re.search(rf"\b{cls.__name__}\b", docs), f"{cls.__name__} is in no file of docs/"


def test_a_test_states_its_rule() -> None:
    """Every test has a docstring that is a sentence: what holds, not what the code does."""
    bare = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                sentence = (ast.get_docstring(node) or "").rstrip()
                bare += [] if sentence.endswith(".") else [f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"]
    assert bare == []


def test_importing_pulls_no_optional_library() -> None:
    """`import lookalike`, and touching every public name, loads no library of an extra."""
    code = "import sys, lookalike; [getattr(lookalike, n) for n in lookalike.__all__]; print(*sys.modules, sep='\\n')"
    optional = {library for libraries in extras().values() for library in libraries}
    assert optional & {name.split(".")[0] for name in run_python(code).splitlines()} == set()


def test_importing_is_quick() -> None:
    """`import lookalike` takes less than 100 ms of CPU beyond numpy: the best of five, and on a slow or busy machine
    less than 1.25 times what numpy itself took in the same process, which is 80 ms on a quiet one."""
    code = """if True:
        from time import process_time as now
        start = now(); import numpy; between = now(); import lookalike; end = now()
        print(between - start, end - between)"""
    runs = [[float(seconds) for seconds in run_python(code).split()] for _ in range(5)]
    assert min(ours - max(MAX_IMPORT_S, 1.25 * numpys) for numpys, ours in runs) < 0, runs
