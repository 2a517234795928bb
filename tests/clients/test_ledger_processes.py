"""The ledger under several processes and under kill -9, with real processes."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
from pyroaring import BitMap

from clients import budget, people
from clients.store import open_store, verify
from federation.ids import TaskDigest
from federation.roles import Step
from privacy.accounting import SampledGaussian, epsilon, epsilon_from_rdp

pytestmark = pytest.mark.processes

COST = SampledGaussian(1.0, 5.0)
CHARGES = 25
DELTA = 1e-5
CAP = budget.Cap(epsilon(COST, CHARGES, DELTA) + 1e-9, DELTA)
SPENDER = """
import itertools, sys
from datetime import UTC, datetime
from pathlib import Path
from pyroaring import BitMap
from clients import budget
from clients.store import open_store
from federation.errors import BudgetExhausted
from federation.ids import TaskDigest
from federation.roles import Step
from privacy.accounting import SampledGaussian

folder, name, epsilon = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
with open_store(folder, busy_timeout_s=60) as store:
    for attempt in itertools.count():
        charge = budget.Charge(
            TaskDigest(name * 64), attempt, Step.TRAIN_ON_PEOPLE, SampledGaussian(1.0, 5.0), BitMap(range(50)), 10**6
        )
        try:
            made = budget.reserve(store, charge, budget.Cap(epsilon, 1e-5), None, datetime.now(UTC))
        except BudgetExhausted:
            break
        print(made.number, made.head, flush=True)
"""


@pytest.fixture
def folder(tmp_path):
    with open_store(tmp_path) as store:
        people.person_numbers(store, [str(number) for number in range(50)])
    return tmp_path


def spender(folder, name):
    command = [sys.executable, "-c", SPENDER, str(folder), name, repr(CAP.epsilon)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_processes_at_once_never_pass_the_cap_and_lose_no_charge(folder):
    running = [spender(folder, name) for name in "abc"]
    lines = [line.split() for process in running for line in process.communicate(timeout=120)[0].splitlines()]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert sorted(int(number) for number, _ in lines) == list(range(1, CHARGES + 1))
    with open_store(folder) as store:
        assert verify(store).reservations == CHARGES
        assert epsilon_from_rdp(budget.spent(store, 49), DELTA) == pytest.approx(CAP.epsilon)


def test_a_charge_that_was_granted_survives_kill_9(folder):
    granted = []
    for name in "abcd":
        process = spender(folder, name)
        granted += [process.stdout.readline().split() for _ in range(4)]
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate(timeout=60)
        granted += [line.split() for line in rest.splitlines() if len(line.split()) == 2]
    with open_store(folder) as store:
        with store.reading() as tx:
            kept = {
                str(number): head
                for number, head in tx.connection().exec_driver_sql("SELECT number, hash FROM reservation").all()
            }
        assert {number: head for number, head in granted if len(head) == 64}.items() <= kept.items()
        assert verify(store).reservations == len(kept)
        charge = budget.Charge(TaskDigest("e" * 64), 0, Step.TRAIN_ON_PEOPLE, COST, BitMap([0]), 1)
        if len(kept) < CHARGES:
            budget.reserve(store, charge, CAP, budget.head(store), datetime.now(UTC))


def test_processes_that_open_a_new_folder_at_once_make_one_database(tmp_path):
    code = (
        "import sys; from pathlib import Path; from clients.store import open_store\n"
        "sys.stdin.readline()\n"
        "with open_store(Path(sys.argv[1])) as store: store.audit('here', {}); print(store.snapshot_key().hex())"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    time.sleep(2)
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    keys = {process.communicate(timeout=60)[0] for process in running}
    assert len(keys) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["identities.sqlite", "node.sqlite"]
    with open_store(tmp_path) as store:
        assert verify(store).audit_entries == 4
