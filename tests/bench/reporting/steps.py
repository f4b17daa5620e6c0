"""Runs the steps of a plan, and keeps what each printed in a file of its own.

A step that was done before, by the same program with the same arguments, can be taken from its file. One that
fails or takes too long is told and left out; the others go on.
"""

import hashlib
import json
import os
import subprocess
import sys
import time


def load(path):
    """The record of a step, or None if there is none that is whole."""
    try:
        with open(path) as file:
            return json.load(file)
    except (FileNotFoundError, ValueError):
        return None


def save(path, record):
    """All or nothing: an interrupted run leaves no half a file."""
    with open(path + ".new", "w") as file:
        json.dump(record, file, indent=1)  # in its order: that of the stores
        file.write("\n")
    os.replace(path + ".new", path)


def _command(step, programs):
    program = programs[step.program]
    return [program] + (["--json"] if step.program == "bench" else []) + step.arguments


def _identity(step, programs, sources):
    """What must be the same for an old result to stand for a new one."""
    digest = hashlib.sha256()
    for path in (programs[step.program], *sources.get(step.program, ())):
        with open(path, "rb") as file:
            digest.update(file.read())
    return {"arguments": step.arguments, "program": digest.hexdigest()}


def _run(command, seconds):
    """Gives what it printed. The process is always over at the end, and has had time to remove its files."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            _end(process)
            raise RuntimeError("took longer than %.0f minutes" % (seconds / 60)) from None
        except BaseException:
            _end(process)
            raise
    if process.returncode != 0:
        raise RuntimeError("ended with status %d" % process.returncode)
    return json.loads(output)


def _end(process):
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()


def run_all(plan, programs, sources, folder, resume):
    """Gives the records, in the order of the plan, and {name: why} of those that failed."""
    os.makedirs(folder, exist_ok=True)
    records, failed, begun = [], {}, time.monotonic()
    for number, step in enumerate(plan, 1):
        path = os.path.join(folder, step.name + ".json")
        identity = _identity(step, programs, sources)
        record = load(path) if resume else None
        if record and record["identity"] == identity:
            print("[%d/%d] %s: done before" % (number, len(plan), step.name), file=sys.stderr)
            records.append(record)
            continue
        minutes = (time.monotonic() - begun) / 60
        print("[%d/%d] %s (%.0f minutes so far)" % (number, len(plan), step.name, minutes), file=sys.stderr)
        start = time.monotonic()
        try:
            output = _run(_command(step, programs), step.minutes * 60)
        except (RuntimeError, ValueError) as reason:
            print("        %s is left out: %s" % (step.name, reason), file=sys.stderr)
            failed[step.name] = str(reason)
            continue
        seconds = round(time.monotonic() - start, 1)
        record = {"step": step.name, "program": step.program, "identity": identity, "seconds": seconds, "output": output}
        save(path, record)
        records.append(record)
    return records, failed
