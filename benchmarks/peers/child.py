"""One contender in a process of its own: builds, warms up, waits for turns.

Started by compare.py with its task as JSON in the first argument. Answers in
lines of JSON on what was its standard output; a line with a number is an order
for one step and then for that many, the end of input ends it.
"""

import importlib
import json
import os
import sys
import time
import traceback


def peak_mb():
    """Return peak resident memory of this process so far, in MB; Linux only."""
    with open("/proc/self/status") as stream:
        for line in stream:
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    return None


def serve(task, answer):
    # Imported here, so that its failure is answered, too.
    module = importlib.import_module(task["module"])
    imported = peak_mb()
    steps, facts = module.build(task)
    steps(task["warm_up"])
    answer(ready={**facts(), "peak_mb_after_import": imported})
    for line in sys.stdin:
        answer(
            one=seconds(steps, 1),
            many=seconds(steps, int(line)),
            peak_mb=peak_mb(),
        )


def seconds(steps, count):
    start = time.perf_counter()
    steps(count)
    return time.perf_counter() - start


def main():
    # What libraries print must not get between the answers.
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def answer(**message):
        channel.write(json.dumps(message) + "\n")

    try:
        serve(json.loads(sys.argv[1]), answer)
    except Exception as error:
        traceback.print_exc()
        reason = (str(error).strip().splitlines() or ["no message"])[0]
        answer(failed=f"{type(error).__name__}: {reason}")
        sys.exit(1)


if __name__ == "__main__":
    main()
