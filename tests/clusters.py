"""Processes of one job on this machine, each with its TF_CONFIG."""

import json
import subprocess
import time
from pathlib import Path

import runs

from trainer.jobs.replicas import free_ports

ROLES = {"chief": 1, "worker": 0, "ps": 0}


class Cluster:
    """Its processes write to `<role>-<index>.log` in `cwd` and share `run` there."""

    def __init__(
        self, cwd, *flags, evaluator=False, absent=(), variables=None, prefixes=None, **counts
    ):
        """Start all tasks but those in `absent`.

        Args:
            cwd: of the processes.
            flags: of all.
            evaluator: whether there is one.
            absent: tasks that are not started.
            variables: more of the environment, by task.
            prefixes: words before the command, by task.
            counts: processes by role.
        """
        counts = {**ROLES, **counts}
        ports = iter(free_ports(sum(counts.values())))
        self.addresses = {
            role: [f"localhost:{next(ports)}" for _ in range(n)] for role, n in counts.items() if n
        }
        tasks = [(role, i) for role, n in counts.items() for i in range(n)]
        self.cwd, self.flags, self.processes = Path(cwd), flags, {}
        self.variables, self.prefixes = variables or {}, prefixes or {}
        for task in [*tasks, *([("evaluator", 0)] if evaluator else [])]:
            if task not in absent:
                self.start(*task)

    def start(self, role, index=0):
        spec = {"cluster": self.addresses, "task": {"type": role, "index": index}}
        variables = {"TF_CONFIG": json.dumps(spec), **self.variables.get((role, index), {})}
        with (self.cwd / f"{role}-{index}.log").open("w") as log:
            self.processes[role, index] = runs.start_task(
                f"--job_dir={self.cwd}/run",
                *self.flags,
                cwd=self.cwd,
                prefix=self.prefixes.get((role, index), ()),
                stdout=log,
                stderr=subprocess.STDOUT,
                **variables,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            process.kill()
            process.wait()

    def log(self, role, index=0):
        return (self.cwd / f"{role}-{index}.log").read_text()

    def last_line(self, role, index=0):
        return self.log(role, index).splitlines()[-1]

    def send(self, number, *tasks):
        """Send a signal to these tasks, or to all."""
        for task in tasks or self.processes:
            self.processes[task].send_signal(number)

    def codes(self, timeout=300):
        """Exit codes by task, when all have ended."""
        end = time.monotonic() + timeout
        return {
            task: process.wait(max(end - time.monotonic(), 0.1))
            for task, process in self.processes.items()
        }

    def wait_for(self, text, role="chief", index=0, timeout=180):
        end = time.monotonic() + timeout
        while text not in self.log(role, index):
            assert time.monotonic() < end, self.log(role, index)
            assert self.processes[role, index].poll() is None, self.log(role, index)
            time.sleep(0.1)
