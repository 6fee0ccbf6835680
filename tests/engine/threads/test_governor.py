"""The thread governor on a simulated machine whose costs follow what was measured on two cores."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.host.topology import Topology
from engine.presets.preset import Preset
from engine.threads.auto import AutoThreads, OthersLoad
from engine.threads.governor import DECODE, PREFILL, CpuFacts, Governor, Tuning

MS = 1_000_000


class Machine:
    """Tokens on `cpus` CPUs with `neighbours` busy programs; time passes only by tokens."""

    def __init__(self, cpus: int = 2, *, tells_others: bool = True, seed: int = 1) -> None:
        self.cpus = cpus
        self.neighbours = 0.0
        self.limit = cpus
        self.penalty = 3.2
        """How many times longer a token takes when threads wait for one that lost its CPU."""
        self.now_ns = 0
        self.tokens = 0
        self._tells = tells_others
        self._random = random.Random(seed)
        self._told_ns = 0
        self._mean_others = 0.0

    def mean_ms(self, threads: int) -> float:
        """Mean cost of a token: 17.3 ms of which a fifth can't be shared, and barriers that cost dearly on crowded CPUs."""
        share = 17.3 * (0.74 + 0.26 * threads) / threads
        crowded = threads + self.neighbours - self.cpus
        if crowded <= 0:
            return share * (1.0 + 0.05 * self.neighbours)
        return share * (1 + crowded / threads) if threads == 1 else share * self.penalty * min(crowded, 2)

    def token_ns(self, threads: int) -> int:
        mean = self.mean_ms(threads)
        noisy = self.neighbours + threads > self.cpus and threads > 1
        cost = mean * (self._random.choice((0.3, 0.3, 0.3, 3.1)) if noisy else self._random.uniform(0.92, 1.08))
        if self._random.random() < 0.01:
            cost += 20
        self.tokens += 1
        self.now_ns += int(cost * MS)
        self._mean_others = self.neighbours
        return int(cost * MS)

    def facts(self) -> CpuFacts | None:
        if self.now_ns - self._told_ns < 500 * MS:
            return None
        self._told_ns = self.now_ns
        return CpuFacts(self.limit, self.cpus, self._mean_others if self._tells else None)


def run(machine: Machine, governor: Governor, seconds: float) -> float:
    """Decode for that long; returns tokens per second."""
    begin_ns, tokens = machine.now_ns, 0
    while machine.now_ns - begin_ns < seconds * 1e9:
        cost = machine.token_ns(governor.threads)
        tokens += 1
        governor.observe(cost, 1, machine.facts())
    return tokens / ((machine.now_ns - begin_ns) / 1e9)


def best_fixed(machine: Machine) -> float:
    hiccups_ms = 0.2
    return max(1e3 / (machine.mean_ms(count) + hiccups_ms) for count in range(1, machine.cpus + 1))


def governor_for(machine: Machine, start: int | None = None) -> Governor:
    return Governor(start or machine.cpus, CpuFacts(machine.limit, machine.cpus))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("tells_others", [True, False])
@pytest.mark.parametrize("neighbours", [0, 1, 2])
@pytest.mark.parametrize("cpus", [2, 4, 8])
def test_it_reaches_the_best_fixed_count(cpus: int, neighbours: int, tells_others: bool, seed: int) -> None:
    machine = Machine(cpus, tells_others=tells_others, seed=seed)
    machine.neighbours = neighbours
    governor = governor_for(machine)
    run(machine, governor, 5)
    assert run(machine, governor, 20) >= (0.95 if tells_others else 0.9) * best_fixed(machine)


def test_a_quiet_machine_keeps_its_count_for_good() -> None:
    machine = Machine()
    governor = governor_for(machine)
    run(machine, governor, 60)
    assert governor.threads == 2


@pytest.mark.parametrize("tells_others", [True, False])
def test_a_neighbour_is_noticed_within_two_seconds(tells_others: bool) -> None:
    machine = Machine(tells_others=tells_others)
    governor = governor_for(machine)
    run(machine, governor, 20)
    machine.neighbours = 1
    run(machine, governor, 2)
    assert governor.threads == 1
    assert "against" in governor.reason


def test_a_crowded_start_is_left_after_two_tokens() -> None:
    governor = Governor(2, CpuFacts(2, 2))
    assert governor.observe(1500 * MS) is None
    assert governor.observe(1500 * MS, 1, CpuFacts(2, 2, 1.8)) == 1


def test_slow_tokens_at_the_start_do_not_cost_the_count_that_is_best_afterwards() -> None:
    machine = Machine()
    governor = governor_for(machine)
    run(machine, governor, 0.03)
    for _ in range(8):
        governor.observe(2 * machine.token_ns(governor.threads))
    counts = []
    while machine.now_ns < 1.5e9:
        governor.observe(machine.token_ns(governor.threads), 1, machine.facts())
        counts.append(governor.threads)
    assert counts.count(1) <= 16
    assert counts[-1] == 2


def test_a_screen_that_slows_tokens_now_and_then_costs_few_per_cent_in_trials() -> None:
    machine = Machine()
    governor = governor_for(machine)
    lost_ns = 0.0
    while machine.now_ns < 30e9:
        slowed = 1.4 if machine.now_ns % 1e9 < 0.3e9 else 1.0
        threads = governor.threads
        cost_ns = machine.token_ns(threads) * slowed
        lost_ns += cost_ns - slowed * MS * machine.mean_ms(2) if threads == 1 else 0
        governor.observe(round(cost_ns), 1, machine.facts())
    assert lost_ns < 0.03 * machine.now_ns


def test_a_count_that_is_far_worse_for_a_prompt_is_tried_for_one_call() -> None:
    governor = Governor(2, CpuFacts(2, 2), PREFILL)
    counts = []
    for _ in range(12):
        counts.append(governor.threads)
        governor.observe((4 if governor.threads == 2 else 8) * 64 * MS, 64)
    assert counts.count(1) == 1


def test_a_machine_that_became_quiet_is_noticed_within_two_seconds() -> None:
    machine = Machine()
    governor = governor_for(machine)
    machine.neighbours = 1
    run(machine, governor, 20)
    assert governor.threads == 1
    machine.neighbours = 0
    run(machine, governor, 2)
    assert governor.threads == 2
    assert "idle" in governor.reason


def test_where_others_can_not_be_known_it_looks_again_by_itself() -> None:
    machine = Machine(tells_others=False)
    governor = governor_for(machine)
    machine.neighbours = 1
    run(machine, governor, 5)
    assert governor.threads == 1
    machine.neighbours = 0
    run(machine, governor, 35)
    assert governor.threads == 2


def test_a_move_is_told_once_and_a_check_that_changes_nothing_is_none() -> None:
    machine = Machine()
    governor = governor_for(machine)
    assert governor.move == ""
    run(machine, governor, 1)
    first = governor.move
    assert first.endswith("(measured at the start)")
    run(machine, governor, 10)
    assert governor.reason != governor.move == first
    machine.neighbours = 1.0
    run(machine, governor, 2)
    assert governor.move == governor.reason != first
    assert governor.move.startswith("1 thread")


def test_it_climbs_from_a_poor_start() -> None:
    machine = Machine(8)
    governor = governor_for(machine, start=1)
    run(machine, governor, 30)
    assert governor.threads >= 7


def test_the_limit_is_never_exceeded_and_obeyed_at_once() -> None:
    machine = Machine(4)
    governor = governor_for(machine)
    run(machine, governor, 5)
    machine.limit = 2
    assert governor.observe(15 * MS, 1, CpuFacts(2, 4, 0.0)) == 2
    assert "limit of CPUs" in governor.reason
    run(machine, governor, 10)
    assert governor.threads <= 2


def test_one_cpu_leaves_nothing_to_try() -> None:
    machine = Machine(1)
    governor = governor_for(machine)
    run(machine, governor, 60)
    assert governor.threads == 1


def test_a_quota_smaller_than_the_machine_is_not_others_work() -> None:
    assert CpuFacts(limit=2, usable=32, others=10.0).free == 2
    assert CpuFacts(limit=4, usable=4, others=1.1).free == 3
    assert CpuFacts(limit=4, usable=4, others=9.0).free == 1
    assert CpuFacts(limit=4, usable=4).free == 4


def test_even_ruinous_trials_cost_little() -> None:
    machine = Machine()
    machine.penalty = 30.0
    machine.neighbours = 0.9
    governor = governor_for(machine, start=1)
    facts = iter([0.9, 0.4] * 1000)
    begin_ns, tokens = machine.now_ns, 0
    while machine.now_ns - begin_ns < 60e9:
        told = machine.facts()
        governor.observe(machine.token_ns(governor.threads), 1, told and CpuFacts(2, 2, next(facts)))
        tokens += 1
    assert tokens / 60 >= 0.95 * best_fixed(machine)


def test_a_single_hiccup_changes_nothing() -> None:
    governor = Governor(2, CpuFacts(2, 2))
    assert [change for _ in range(60) if (change := governor.observe(15 * MS))] in ([], [1, 2]), "the first guess is compared once"
    costs = [400 * MS if number in {10, 50} else 15 * MS for number in range(80)]
    assert [change for cost in costs if (change := governor.observe(cost))] == []


def test_prefilling_is_judged_by_chunks() -> None:
    machine = Machine()
    machine.neighbours = 1
    governor = Governor(2, CpuFacts(2, 2), PREFILL)
    for _ in range(12):
        cost = sum(machine.token_ns(governor.threads) for _ in range(64))
        governor.observe(cost, 64, machine.facts())
    assert governor.threads == 1


def auto(preset: Preset, others: Callable[[], float | None] = lambda: 0.0, most: int = 4) -> AutoThreads:
    return AutoThreads(preset, topology=lambda: Topology(usable=most, cores=most, fast_cores=most, quota=None), others=others)


def test_counts_set_by_a_preset_stay() -> None:
    threads = auto(Preset(threads=3, threads_batch=64))
    assert threads.threads == (3, 4)
    assert all(threads.decoded(50 * MS, number * 50 * MS) is None for number in range(500))
    assert threads.reasons == ("Set by the preset", "The preset asks for 64; this process may use 4")


def test_both_counts_are_told_when_one_changes() -> None:
    threads = auto(Preset(threads="auto", threads_batch=2), most=2)
    machine = Machine(2, tells_others=False)
    machine.neighbours = 1
    changes = [change for _ in range(200) if (change := threads.decoded(machine.token_ns(threads.threads[0]), machine.now_ns))]
    assert changes[0] == (1, 2)
    assert threads.threads == (1, 2)


def test_a_pause_does_not_make_a_crowded_machine_look_free() -> None:
    looks = iter([1.0, 1.0, None, 1.0, None] * 100)
    threads = auto(Preset(), others=lambda: next(looks), most=2)
    for number in range(500):
        threads.decoded((17 if threads.threads[0] == 1 else 60) * MS, number * 20 * MS)
    assert threads.threads[0] == 1
    faster = [threads.decoded(10 * MS, (500 + number) * 20 * MS) for number in range(500)]
    assert set(faster) == {None}


def test_another_preset_is_followed_and_what_was_learnt_is_kept() -> None:
    threads = auto(Preset(), most=2)
    machine = Machine(2, tells_others=False)
    machine.neighbours = 1
    for _ in range(100):
        threads.decoded(machine.token_ns(threads.threads[0]), machine.now_ns)
    assert threads.threads[0] == 1
    threads.use(Preset(threads_batch=1))
    assert threads.threads == (1, 1)
    threads.use(Preset(threads=2))
    assert threads.threads == (2, 2)
    threads.use(Preset())
    assert threads.threads == (1, 2)


def test_observing_costs_less_than_five_microseconds() -> None:
    governor = Governor(2, CpuFacts(2, 2), DECODE)
    begin = time.process_time_ns()
    for _ in range(20_000):
        governor.observe(15 * MS)
    assert (time.process_time_ns() - begin) / 20_000 < 50_000, "ten times the budget: only a slip in the algorithm can miss it"


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="Linux tells how busy CPUs are")
def test_the_load_of_others_is_a_number_of_cpus() -> None:
    load = OthersLoad()
    deadline = time.monotonic() + 0.05
    while time.monotonic() < deadline:
        pass
    others = load.since_last()
    assert others is not None
    assert 0 <= others <= (os.cpu_count() or 1) + 1


def test_without_the_kernels_figures_the_load_is_unknown(tmp_path: Path) -> None:
    assert OthersLoad(tmp_path / "none").since_last() is None


def test_a_count_set_by_hand_that_stalls_is_named() -> None:
    from engine.threads.wait_policy import Waiting, WaitPolicy

    class Crowded(WaitPolicy):
        @property
        def now(self) -> Waiting:
            return Waiting(False, 0.71, "Waiting threads sleep at once")

    set_by_hand = AutoThreads(
        Preset(threads=2, threads_batch=1), topology=lambda: Topology(2, 2, 2, None), others=lambda: 2.0, waits=Crowded(None)
    )
    decode, batch = set_by_hand.reasons
    assert decode == "Set by the preset; the 2 threads wait for each other 71% of the time: `threads` auto would use fewer"
    assert batch == "Set by the preset"


@pytest.mark.parametrize(("tuning", "cost_ms"), [(DECODE, 40), (PREFILL, 25)])
def test_where_threads_sleep_because_of_others_trials_take_few_per_cent_however_restless_these_are(tuning: Tuning, cost_ms: int) -> None:
    governor = Governor(2, CpuFacts(2, 2, 2.0, spins=False), tuning)
    random_cost = random.Random(3)
    spent = best = 0.0
    for call in range(1500):
        tokens = 1 if tuning is DECODE else 64
        needed = tokens * cost_ms * MS * random_cost.uniform(0.7, 1.3)
        cost = needed if governor.threads == 2 else 1.5 * needed
        spent, best = spent + cost, best + needed
        governor.observe(int(cost), tokens, CpuFacts(2, 2, call % 3, spins=False))
    assert spent / best < 1.04
