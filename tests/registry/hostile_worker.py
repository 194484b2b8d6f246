"""Loads hostile artifacts, with limits on memory and time and an audit hook that forbids what loading never needs.

    python tests/registry/hostile_worker.py FOLDER FIRST COUNT KIND…

FOLDER holds one intact artifact per kind. Each case mutates one, writes a right manifest for it (as an attacker who
knows the format would), and loads it. Every case prints ``KIND CASE OUTCOME CPU_SECONDS``: refused, loaded or ERROR.
"""

import contextlib
import hashlib
import json
import random
import resource
import shutil
import signal
import socket
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler

ALLOWED_MEMORY = 1 << 30
FORBIDDEN = {
    *("exec", "compile", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "pty.spawn"),
    "ctypes.dlopen",
}
FORBIDDEN_PREFIXES = ("socket.", "subprocess.", "pickle.", "marshal.", "urllib.", "ftplib.", "http.", "smtplib.")
NASTY: list[Any] = [
    *(None, True, False, -1, 0, 1, 2, 3, 1.5, -0.0, 1e308, 1e-320, 2**31, 2**31 - 1, 2**32, 2**53, 2**63, 2**63 - 1),
    *(-(2**63), 2**64, 10**30, 10**4000, "", "x", "\x00", "\ud800", "__import__('os').system('id')"),
    *("../../../etc/passwd", "O", "object", "<f8", ">f8", "|V8", "U1000000000", "float64", "S", "datetime64[ns]"),
    *("LSTMClassifier", "os.system", "builtins.eval", "lambda: 0", "{{7*7}}", "a" * 10_000, [], [[]], [None], {}),
    *({"": {}}, {"class_name": "Lambda", "config": {"function": "print"}}, {"__reduce__": ["os.system", ["id"]]}),
    *([0] * 5000, [[[[[[[[[[]]]]]]]]]], {"artifact": "0" * 64}, {"artifact": "../" * 20}, [2**62, 2**62], [2**40]),
    *([-1, -1], [1] * 40),
]


class Forbidden(BaseException):
    """Raised by the audit hook; nothing may catch it by accident."""


def guard(sandbox: Path) -> None:
    """From here on, none of the forbidden things may happen in this process."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if _is_forbidden(event, arguments, sandbox) and not _own_compiled_code():
            raise Forbidden(f"{event} {arguments!r:.200}")

    sys.addaudithook(hook)


def _is_forbidden(event: str, arguments: tuple[Any, ...], sandbox: Path) -> bool:
    if event == "socket.__new__" and arguments[1] == socket.AF_UNIX:
        return False  # an asyncio loop wakes itself through a pair of these; Orbax makes one per restore
    if event == "open" and isinstance(arguments[0], str | bytes):
        path = Path(arguments[0].decode() if isinstance(arguments[0], bytes) else arguments[0])
        return path.is_absolute() and not path.is_relative_to(sandbox)
    return event in FORBIDDEN or event.startswith(FORBIDDEN_PREFIXES)


def _own_compiled_code() -> bool:
    """Whether Numba is compiling one of our kernels, or fetching it from its cache, which a rare branch may do late."""
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename.endswith(("numba/core/caching.py", "numba/core/dispatcher.py")):
            return True
        frame = frame.f_back
    return False


def limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ALLOWED_MEMORY,) * 2)


# -- mutations ---------------------------------------------------------------------------------------------------------


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Paths to every node of a JSON value."""
    found = [path]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += places(inner, (*path, key))
    elif isinstance(value, list):
        for position, inner in enumerate(value[:50]):
            found += places(inner, (*path, position))
    return found


def change(value: Any, rng: random.Random) -> Any:
    """One structural change of a JSON value, in place where possible."""
    path = rng.choice(places(value)[1:])
    parent = value
    for step in path[:-1]:
        parent = parent[step]
    last = path[-1]
    action = rng.randrange(6)
    if action == 0:
        del parent[last]
    elif action == 1 and isinstance(parent[last], int | float) and not isinstance(parent[last], bool):
        parent[last] = parent[last] + rng.choice([1, -1, 0.5, 2**20, -(2**20)])
    elif action == 2 and isinstance(parent, list):
        parent.insert(last, rng.choice(NASTY))
    elif action == 3 and isinstance(parent, dict):
        parent[rng.choice(["x", "", "params", "artifact", "kind", "__class__", "a" * 100])] = rng.choice(NASTY)
    elif action == 4:
        other = rng.choice(places(value)[1:])
        source = value
        for step in other:
            source = source[step]
        parent[last] = json.loads(json.dumps(source))
    else:
        parent[last] = rng.choice(NASTY)
    return value


def mutate_json(path: Path, rng: random.Random) -> None:
    value = json.loads(path.read_text())
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        with contextlib.suppress(KeyError, IndexError, TypeError):  # a change undid the way to the next one
            change(value, rng)
    path.write_text(json.dumps(value))


def mutate_bytes(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 1, 3, 20])):
        where = rng.randrange(len(data))
        data[where : where + rng.choice([0, 1, 1, 1, 8])] = rng.randbytes(rng.choice([0, 1, 1, 1, 8]))
    path.write_bytes(data)


def mutate_array(folder: Path, rng: random.Random) -> None:
    """Other values in an array of the same size: what a validator of shapes alone would let through."""
    path = rng.choice(sorted((folder / "arrays").glob("*/0")))
    array = np.fromfile(path, np.dtype(path.parent.name))
    extremes = (
        [0, 1, -1, np.nan, np.inf, -np.inf, 1e300, 5e-324] if array.dtype.kind == "f" else [0, 1, *_limits(array)]
    )
    for _ in range(rng.choice([1, 2, 10])):
        where = slice(begin := rng.randrange(len(array)), begin + rng.choice([1, 1, 7, len(array)]))
        with np.errstate(all="ignore"):
            array[where] = np.asarray(rng.choice(extremes)).astype(array.dtype)
    array.tofile(path)


def _limits(array: np.ndarray) -> list[int]:
    if array.dtype.kind == "b":
        return []
    info = np.iinfo(array.dtype)
    return [info.max, info.min, len(array), min(len(array) - 1, info.max), max(-1, info.min), min(2**31 - 1, info.max)]


def resize(folder: Path, rng: random.Random) -> None:
    """A consistent other size: chunk, description and declaration agree, the shapes do not."""
    path = rng.choice(sorted((folder / "arrays").glob("*/0")))
    key, size = path.parent.name, rng.choice([1, 2, 1000, path.stat().st_size])
    np.zeros(size, np.dtype(key)).tofile(path)
    described = path.with_name(".zarray")
    described.write_text(json.dumps(json.loads(described.read_text()) | {"shape": [size], "chunks": [size]}))
    spec = json.loads((folder / "spec.json").read_text())
    spec["sizes"][key] = size
    for place in spec["places"]:
        if place[0] == key:
            place[1] = [size]
    (folder / "spec.json").write_text(json.dumps(spec))


def declare(folder: Path, rng: random.Random) -> None:
    """A declared size far beyond what is there."""
    size = rng.choice([2**31, 2**40, 2**62, 2**63, 10**30])
    spec = json.loads((folder / "spec.json").read_text())
    key = rng.choice(sorted(spec["sizes"]))
    spec["sizes"][key] = size
    (folder / "spec.json").write_text(json.dumps(spec))
    if rng.random() < 0.7:
        described = folder / "arrays" / key / ".zarray"
        other = {"shape": [size], "chunks": [rng.choice([size, 1])]}
        described.write_text(json.dumps(json.loads(described.read_text()) | other))
    if rng.random() < 0.3:
        with (folder / "arrays" / key / "0").open("r+b") as file:
            file.truncate(rng.choice([2**33, 2**27]))  # sparse: a large file that takes no space


def compress(folder: Path, rng: random.Random) -> None:
    """A small chunk that would unfold into a large one."""
    described = rng.choice(sorted((folder / "arrays").glob("*/.zarray")))
    content = json.loads(described.read_text())
    content["compressor"] = {"id": rng.choice(["zstd", "zlib", "blosc", "bz2", "x"]), "level": 9}
    described.write_text(json.dumps(content))


def nest(folder: Path, rng: random.Random) -> None:
    spec = json.loads((folder / "spec.json").read_text())
    depth = rng.choice([40, 100, 900, 20_000, 200_000])
    text = json.dumps(spec)[:-1] + ',"deep":' + "[" * depth + "]" * depth + "}"
    if rng.random() < 0.5:
        text = text.replace('"kind"', '"x":' + '{"a":' * depth + "1" + "}" * depth + ',"kind"', 1)
    (folder / "spec.json").write_text(text)


def mutate(folder: Path, rng: random.Random) -> None:
    spec = folder / "spec.json"
    others = [p for p in (folder / "arrays").rglob("*") if p.is_file() and p.name != "0"]
    actions = [
        *[lambda: mutate_json(spec, rng)] * 4,
        *[lambda: mutate_array(folder, rng)] * 3,
        lambda: mutate_bytes(spec, rng),
        lambda: mutate_json(rng.choice(others), rng),
        lambda: mutate_bytes(rng.choice(others), rng),
        *[lambda action=action: action(folder, rng) for action in (resize, declare, compress, nest)],
    ]
    for _ in range(rng.choice([1, 1, 1, 2])):
        with contextlib.suppress(
            ValueError, KeyError, TypeError, IndexError, AttributeError, OSError, RecursionError, MemoryError
        ):  # the mutator met what an earlier mutation left
            rng.choice(actions)()


# -- the cases ---------------------------------------------------------------------------------------------------------


def write_manifest(folder: Path) -> None:
    """What the attacker writes: right for every file (but for the hash of those too large to be read at all)."""
    files = {}
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "manifest.json":
            size = path.stat().st_size
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest() if size < 2**30 else "0" * 64
            files[path.relative_to(folder).as_posix()] = [size, sha256]
    content = {"format": 1, "digest": "0" * 64, "children": [], "files": files}
    (folder / "manifest.json").write_text(json.dumps(content))


def has_network(model: Any) -> bool:
    """Whether a predictor is a sequence network or has one among its members."""
    members = getattr(model, "members_", {})
    return type(model).__name__.startswith(("LSTM", "CNN", "Transformer")) or any(map(has_network, members.values()))


def attempt(folder: Path, X: Any) -> str:
    """Load as the registry does after its own look-up, and predict."""
    from consilience.base import ConsilienceError, restore
    from consilience.registry import artifact
    from consilience.registry.manifest import verify_folder
    from tests.reference import zoo

    try:
        verify_folder(folder, "0" * 64, None)
        model = restore(artifact.read(folder, lambda child: (_ for _ in ()).throw(AssertionError("no child is there"))))
    except ConsilienceError:
        return "refused"
    if not has_network(model):  # compiling one takes longer than the limit
        try:
            zoo.outputs(type(model).__name__, model, X)
        except (ConsilienceError, ValueError, FloatingPointError, np.linalg.LinAlgError):
            return "loaded, cannot predict"
    return "loaded"


def main() -> None:
    source, first, count, *kinds = sys.argv[1:]
    from tests.reference import zoo

    X = zoo.rows()
    own = Path(source) / f"case-{first}"
    warm(kinds, Path(source), own, X)
    warnings.simplefilter("ignore")  # showing one opens the source that it came from
    limit_memory()
    guard(Path(source))
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(Forbidden("longer than fifteen minutes")))
    for case in range(int(first), int(first) + int(count)):
        rng = random.Random(case)
        kind = kinds[case % len(kinds)]
        shutil.rmtree(own, ignore_errors=True)
        shutil.copytree(Path(source) / kind, own)
        mutate(own, rng)
        print(kind, case, end=" ", flush=True)
        write_manifest(own)
        signal.setitimer(signal.ITIMER_REAL, 900)  # a sleep without end; a busy or paused machine is not one
        begin = time.process_time()
        try:
            outcome = attempt(own, X)
        except (Forbidden, Exception) as error:
            outcome = f"ERROR:{type(error).__name__}:{error!s:.150}".replace(" ", "_").replace("\n", "_")
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(outcome.replace(" ", "_"), f"{time.process_time() - begin:.4f}", flush=True)
    print("finished", flush=True)


def warm(kinds: list[str], source: Path, own: Path, X: Any) -> None:
    """Import and compile everything that a rightful load needs, before it is forbidden."""
    StandardScaler().fit(X)  # scikit-learn asks another library for the columns' names, which imports late
    for kind in kinds:
        shutil.copytree(source / kind, own)
        write_manifest(own)
        assert attempt(own, X) == "loaded", kind
        shutil.rmtree(own)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main()
