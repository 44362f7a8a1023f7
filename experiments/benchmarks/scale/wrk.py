"""Load by `wrk`, a generator in C, for figures that the time of `load_generator` would distort: several workers on few
cores.

https://github.com/wg/wrk; the package `wrk` of Debian and Ubuntu. One thread, a closed loop.
"""

from __future__ import annotations

import json
import math
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

SCRIPT = """\
local requests = {{{requests}}}
local at = 0
request = function()
  at = at % #requests + 1
  return requests[at]
end
done = function(summary, latency, rates)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local words = '\\n{{"requests": %d, "microseconds": %d, "failed": %d}}\\n'
  io.write(string.format(words, summary.requests, summary.duration, failed))
end
"""


@dataclass(frozen=True)
class Answered:
    """`a_second`: requests answered; `cpu_seconds`: processor time of the generator."""

    a_second: float
    cpu_seconds: float


def installed() -> bool:
    """Whether `wrk` is on the path."""
    return shutil.which("wrk") is not None


def ask(port: int, requests: Sequence[str], seconds: float, connections: int) -> Answered:
    """Send whole HTTP requests, in turn, over and over. Raises `RuntimeError` where one failed."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua", encoding="utf-8") as script:
        script.write(SCRIPT.format(requests=", ".join(json.dumps(request) for request in requests)))
        script.flush()
        # wrk counts whole seconds
        command = ["wrk", "-t1", f"-c{connections}", f"-d{math.ceil(seconds)}s", "-s", script.name]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([*command, f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = json.loads(done.stdout.splitlines()[-1])
    if found["failed"]:
        raise RuntimeError(f"{found['failed']} of {found['requests']} requests failed")
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Answered(found["requests"] / found["microseconds"] * 1e6, spent)
