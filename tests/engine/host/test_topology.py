"""What of a machine may be used: affinity, hyper-threads, efficiency cores, and the limits of cgroups of both versions."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from engine.host.topology import Topology, cpu_features, cpu_quota, read_room, read_topology


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def cpu(number: int, siblings: str, **files: str) -> dict[str, str]:
    folder = f"sys/devices/system/cpu/cpu{number}"
    return {f"{folder}/topology/thread_siblings_list": siblings} | {f"{folder}/{name}": text for name, text in files.items()}


def test_hyper_threads_of_a_core_count_once(tmp_path: Path) -> None:
    root = machine(tmp_path, {**cpu(0, "0,2"), **cpu(1, "1,3"), **cpu(2, "0,2"), **cpu(3, "1,3")})
    topology = read_topology(root, frozenset(range(4)))
    assert (topology.usable, topology.cores, topology.start_threads, topology.most_threads) == (4, 2, 2, 4)


def test_affinity_narrows_the_machine(tmp_path: Path) -> None:
    root = machine(tmp_path, {**cpu(0, "0-1"), **cpu(1, "0-1"), **cpu(2, "2-3")})
    assert read_topology(root, frozenset({0, 1})).cores == 1


def test_efficiency_cores_are_no_first_guess(tmp_path: Path) -> None:
    speeds = {0: "1024", 1: "1024", 2: "400", 3: "400"}
    root = machine(tmp_path, {name: text for n, speed in speeds.items() for name, text in cpu(n, str(n), cpu_capacity=speed).items()})
    topology = read_topology(root, frozenset(speeds))
    assert (topology.cores, topology.fast_cores, topology.start_threads, topology.most_threads) == (4, 2, 2, 4)


@pytest.mark.parametrize(("quota", "most", "start"), [(None, 8, 8), (2.0, 2, 2), (2.5, 2, 2), (0.5, 1, 1), (20.0, 8, 8)])
def test_a_quota_bounds_the_threads(quota: float | None, most: int, start: int) -> None:
    topology = Topology(usable=8, cores=8, fast_cores=8, quota=quota)
    assert (topology.most_threads, topology.start_threads) == (most, start)


def test_the_narrowest_quota_around_the_process_counts(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        {
            "proc/self/cgroup": "0::/outer/inner\n",
            "sys/fs/cgroup/outer/cpu.max": "150000 100000",
            "sys/fs/cgroup/outer/inner/cpu.max": "max 100000",
        },
    )
    assert cpu_quota(root) == 1.5


def test_quotas_of_version_one_are_read(tmp_path: Path) -> None:
    folder = "sys/fs/cgroup/cpu/job"
    root = machine(
        tmp_path, {"proc/self/cgroup": "3:cpu,cpuacct:/job\n", f"{folder}/cpu.cfs_quota_us": "-1", f"{folder}/cpu.cfs_period_us": "100000"}
    )
    assert cpu_quota(root) is None
    machine(root, {f"{folder}/cpu.cfs_quota_us": "400000"})
    assert cpu_quota(root) == 4.0


def test_a_machine_without_cgroups_has_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None
    assert read_topology(tmp_path, frozenset({0, 1, 2})).cores == 3


def test_the_memory_limit_of_a_cgroup_counts_without_its_page_cache(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        {
            "proc/self/cgroup": "0::/box\n",
            "sys/fs/cgroup/box/memory.max": "1000000",
            "sys/fs/cgroup/box/memory.current": "900000",
            "sys/fs/cgroup/box/memory.stat": "anon 500000\ninactive_file 400000\n",
        },
    )
    room = read_room(root)
    assert (room.available, room.total, room.limited) == (500_000, 1_000_000, True)


def test_without_a_limit_the_machine_is_the_limit(tmp_path: Path) -> None:
    room = read_room(machine(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max"}))
    assert not room.limited
    assert room.total == psutil.virtual_memory().total


def test_instruction_sets_are_read(tmp_path: Path) -> None:
    root = machine(tmp_path, {"proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu avx2 avx512f\n"})
    assert cpu_features(root) == {"fpu", "avx2", "avx512f"}


@pytest.mark.parametrize(("quota", "most"), [(0.5, 1), (1.0, 1), (1.5, 1), (1.95, 2), (2.0, 2), (3.8, 3), (64.0, 4), (None, 4)])
def test_a_quota_counts_in_whole_cpus_rounded_down(quota: float | None, most: int) -> None:
    topology = Topology(usable=4, cores=4, fast_cores=4, quota=quota)
    assert (topology.most_threads, topology.start_threads) == (most, most)


def test_memory_nodes_of_the_usable_cpus_are_counted(tmp_path: Path) -> None:
    root = machine(tmp_path, {f"sys/devices/system/node/node{node}/cpulist": text for node, text in enumerate(["0-3,8", "4-7", "12-15"])})
    assert read_topology(root, frozenset({1, 2})).numa_nodes == 1
    assert read_topology(root, frozenset({8, 7})).numa_nodes == 2
    assert read_topology(tmp_path / "none", frozenset({0})).numa_nodes == 1
