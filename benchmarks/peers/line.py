"""How a peer's worker is asked: one JSON line in, one JSON line out; runs in the peer's own environment.

A request is ``{"verb", "given", "out"}``: the verb names a function, ``given`` its keyword arguments, ``out`` the
.npy file for what it returns (or null). The answer is ``{"seconds"}``, the time of the function alone, or
``{"error"}``.
"""

import json
import os
import sys
import time
import traceback


def serve(prepare):
    """Answer requests until stdin closes; ``prepare(network)`` makes the verbs once the first line names the network.

    What the peer prints goes to stderr, so that stdout carries answers alone.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    verbs = prepare(json.loads(sys.stdin.readline())["network"])
    print(json.dumps({"ready": True}), file=answers)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = _one(verbs[request["verb"]], request["given"], request["out"])
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers)


def _one(work, given, out):
    import numpy as np

    given = {name: np.load(value) if str(value).endswith(".npy") else value for name, value in given.items()}
    begun = time.perf_counter()
    found = work(**given)
    seconds = time.perf_counter() - begun
    if out is not None:
        np.save(out, np.asarray(found, dtype=np.float32))
    return {"seconds": seconds}
