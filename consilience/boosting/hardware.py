"""Which processor trains the trees, and with how many threads."""

import shutil
import subprocess
import warnings
from functools import cache


def threads(n_jobs: int | None) -> int:
    """The libraries' thread count: None is one, as in scikit-learn, and -1 is all (0 in their own terms).

    One is the default because members and folds already run side by side, and because the libraries' threads wait for
    each other by spinning: on two cores that others use as well, two threads were 20 times slower than one.
    """
    return 1 if n_jobs is None else max(n_jobs, 0)


@cache
def has_cuda_gpu() -> bool:
    """Whether an NVIDIA driver answers and lists a GPU; asked once per process."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    try:
        listed = subprocess.run([program, "--list-gpus"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listed.returncode == 0 and "GPU" in listed.stdout


def fall_back(library: str, reason: str) -> str:
    """Say in one sentence that training goes on without the GPU; returns "cpu"."""
    warnings.warn(f"{library} trains on the CPU: {reason}.", UserWarning, stacklevel=5)
    return "cpu"
