"""Publishes in children to whose system calls errors are added from outside; imports once and forks for each.

    python tests/registry/fault_worker.py FOLDER

Each line ``SEED`` on stdin is one child, whose process id is printed. After the next line it publishes the model of
that seed, and one line says how that went: ``published NUMBER DIGEST``, or ``CLASS: message`` of the error.
"""

import os
import sys
from pathlib import Path


def child(folder: str, seed: int) -> str:
    from consilience.registry import RegistryError
    from consilience.registry.store import Registry
    from tests.registry.worker import model

    try:
        with Registry(folder) as registry:
            registry.versions()
            print(os.getpid(), flush=True)
            sys.stdin.readline()
            version = registry.publish("spx", model(seed))
            return f"published {version.number} {version.digest}"
    except RegistryError as error:
        return f"{type(error).__name__}: {error}"
    except BaseException as error:
        return f"UNNAMED {type(error).__name__}: {error}".replace("\n", " ")


def main() -> None:
    import orbax.checkpoint  # noqa: F401  the slow part, once

    import consilience.registry.store  # noqa: F401
    import tests.registry.worker  # noqa: F401

    for line in iter(sys.stdin.readline, ""):
        process = os.fork()
        if process == 0:
            said = (child(sys.argv[1], int(line)) + "\n").encode()
            try:
                os.write(1, said)
            except OSError:  # this call was the one to fail
                os.write(1, said)
            finally:
                os._exit(0)
        os.waitpid(process, 0)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main()
