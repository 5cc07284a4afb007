"""trainer.rendezvous: processes that wait for each other, and for the chief."""

import socket
import threading
import time

import pytest

from trainer.cluster import Cluster
from trainer.errors import Interrupted, UserError
from trainer.jobs.replicas import free_ports
from trainer.rendezvous import ChiefWatch, meet, patience


def addresses(**counts):
    ports = iter(free_ports(sum(counts.values())))
    return {
        role: tuple(f"localhost:{next(ports)}" for _ in range(count))
        for role, count in counts.items()
    }


def cluster_of(known, role="chief", index=0):
    return Cluster(role, index, addresses=known, is_chief=role == "chief")


def test_patience_is_longer_where_machines_come_one_by_one():
    assert patience("auto", is_cloud=False) == 25
    assert patience("auto", is_cloud=True) == 900
    assert patience(5, is_cloud=True) == 5


@pytest.mark.parametrize("known", [{}, {"chief": ("localhost:1",)}])
def test_alone_nobody_is_waited_for(known):
    meet(cluster_of(known), 0.0)


def test_an_evaluator_waits_for_nobody():
    meet(cluster_of({"chief": ("localhost:1",), "worker": ("localhost:2",)}, "evaluator"), 0.0)


def test_all_go_on_when_the_last_has_come():
    known = addresses(chief=1, worker=2, ps=1)
    tasks = [("chief", 0), ("worker", 0), ("ps", 0), ("worker", 1)]
    gone_on = []
    servers = []

    def start(role, index):
        meet(cluster_of(known, role, index), 30.0)
        gone_on.append((role, index))
        # As TensorFlow does next: the others may not have seen this process yet.
        port = int(known[role][index].rpartition(":")[2])
        servers.append(socket.create_server(("", port)))

    threads = [threading.Thread(target=start, args=task) for task in tasks]
    for thread in threads[:3]:
        thread.start()
    time.sleep(0.5)
    assert gone_on == []
    threads[3].start()
    for thread in threads:
        thread.join(30)
    assert sorted(gone_on) == sorted(tasks)
    for server in servers:
        server.close()


def test_those_who_do_not_come_are_named():
    known = addresses(chief=1, worker=2)
    with (
        socket.create_server(("", int(known["worker"][0].rpartition(":")[2]))),
        pytest.raises(Interrupted) as caught,
    ):
        meet(cluster_of(known), 0.3)
    assert str(caught.value) == (
        f"no answer from worker 1 ({known['worker'][1]}) within 0.3 s; start all processes of the "
        "cluster again, or raise training.peer_timeout_seconds"
    )


def test_port_in_use_is_named():
    known = addresses(chief=1, worker=1)
    port = int(known["chief"][0].rpartition(":")[2])
    with (
        socket.create_server(("", port)),
        pytest.raises(UserError, match=rf"cannot listen on localhost:{port}, the address of chief"),
    ):
        meet(cluster_of(known), 30.0)


def test_a_chief_may_come_and_come_back_within_the_patience():
    known = addresses(chief=1, worker=1)
    chief = ("", int(known["chief"][0].rpartition(":")[2]))
    watch = ChiefWatch(cluster_of(known, "worker"), 0.5)
    watch.check()  # not there yet
    for _ in range(2):
        with socket.create_server(chief):
            time.sleep(0.6)
            watch.check()
        watch.check()
    time.sleep(0.6)
    with pytest.raises(Interrupted, match=r"the chief \(localhost:\d+\) has been away for 0.5 s"):
        watch.check()


def test_where_no_chief_is_known_none_is_missed():
    ChiefWatch(cluster_of({}, "evaluator"), 0.0).check()
