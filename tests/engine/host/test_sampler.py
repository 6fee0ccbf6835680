"""Samples of this machine agree with the kernel's own figures; whatever can't be read is unavailable with a reason, never zero."""

from __future__ import annotations

import mmap
import os
import sqlite3
import sys
import threading
import time
from pathlib import Path

import aiosqlite
import psutil
import pytest

from engine.clock import NS_PER_S
from engine.host.cgroup import ControlGroup
from engine.host.cpu import CoreTimes, Frequency, Temperature
from engine.host.energy import Energy
from engine.host.memory import Residency, file_residency
from engine.host.procfs import KernelFile
from engine.host.sampler import LinuxSampler, PortableSampler
from engine.host.threads import ThreadGroup, ThreadTimes, role_of
from engine.host.value import Unavailable, known

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's /proc")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


@linux
def test_memory_agrees_with_an_independent_reader() -> None:
    sampler = LinuxSampler()
    memory = sampler.sample().memory
    assert known(memory.rss) == pytest.approx(psutil.Process().memory_info().rss, rel=0.01)
    assert known(memory.total) == psutil.virtual_memory().total
    assert known(memory.available) == pytest.approx(psutil.virtual_memory().available, rel=0.05)
    parts = [known(part) for part in (memory.anon, memory.file, memory.shmem)]
    assert sum(part for part in parts if part is not None) == known(memory.rss)
    sampler.close()


@linux
def test_processor_time_agrees_with_the_process_clock() -> None:
    sampler = LinuxSampler()
    sampler.sample()
    began, cpu = time.perf_counter(), time.process_time()
    burn(0.2)
    sample = sampler.sample()
    expected = (time.process_time() - cpu) / (time.perf_counter() - began) * 100
    assert known(sample.cpu.process_pct) == pytest.approx(expected, abs=2)
    main = next(share for share in sample.threads if share.tid == os.getpid())
    assert main.group is ThreadGroup.UI
    assert main.running_pct == pytest.approx(expected, abs=10)
    sampler.close()


@linux
def test_the_first_sample_has_no_rates_but_says_why() -> None:
    sampler = LinuxSampler()
    sample = sampler.sample()
    assert sample.interval_s is None
    assert sample.cpu.machine_pct == Unavailable("available from the second sample on")
    assert sample.threads == ()
    sampler.close()


def test_without_proc_and_sys_everything_is_unavailable_and_nothing_fails(tmp_path: Path) -> None:
    sampler = LinuxSampler(tmp_path / "proc", tmp_path / "sys")
    sampler.watch_model(tmp_path / "model.gguf")
    for _ in range(2):
        sample = sampler.sample()
    for figure in (
        sample.memory.rss,
        sample.memory.available,
        sample.cpu.machine_pct,
        sample.cpu.others_pct,
        sample.cpu.freq_mhz,
        sample.cpu.governor,
        sample.cpu.temperature_c,
        sample.cpu.throttled_pct,
        sample.power_w,
        sample.swapped_in,
        sample.weights,
    ):
        assert isinstance(figure, Unavailable)
        assert figure.reason
    assert sample.cpu.cores_pct == ()
    assert known(sample.cpu.process_pct) is not None
    sampler.close()


def test_the_portable_sampler_gives_memory_and_processor() -> None:
    sampler = PortableSampler()
    sampler.sample()
    sample = sampler.sample()
    assert known(sample.memory.rss) == pytest.approx(psutil.Process().memory_info().rss, rel=0.1)
    assert known(sample.cpu.machine_pct) is not None
    assert isinstance(sample.cpu.steal_pct, Unavailable)


@linux
def test_closing_gives_every_descriptor_back() -> None:
    before = set(os.listdir("/proc/self/fd"))
    sampler = LinuxSampler()
    for _ in range(3):
        sampler.sample()
    sampler.close()
    assert set(os.listdir("/proc/self/fd")) <= before


@linux
def test_threads_that_end_are_forgotten() -> None:
    times = ThreadTimes(Path("/proc"))
    stay = threading.Event()
    thread = threading.Thread(target=stay.wait, name="Thread-9 (_connection_worker_thread)")
    thread.start()
    times.read(1)
    shares = times.read(NS_PER_S)
    assert any(share.name == "database" and share.group is ThreadGroup.DATABASE for share in shares)
    stay.set()
    thread.join()
    while Path(f"/proc/self/task/{thread.native_id}").exists():
        os.sched_yield()  # joined for Python, but the kernel is still at it
    assert all(share.tid != thread.native_id for share in times.read(2 * NS_PER_S))
    times.close()


@pytest.mark.parametrize(
    ("python_name", "name", "group"),
    [
        ("MainThread", "event loop", ThreadGroup.UI),
        ("textual-output", "terminal out", ThreadGroup.UI),
        ("xchat-compute", "compute", ThreadGroup.COMPUTE),
        ("Thread-3 (_connection_worker_thread)", "database", ThreadGroup.DATABASE),
        ("xchat-wait-guard", "wait guard", ThreadGroup.OTHER),
        ("xchat-idle-team", "idle team", ThreadGroup.OTHER),
        ("asyncio_0", "pool", ThreadGroup.OTHER),
        ("Thread-7", "Thread-7", ThreadGroup.OTHER),
    ],
)
def test_python_threads_are_told_apart_by_their_names(python_name: str, name: str, group: ThreadGroup) -> None:
    assert (role_of(python_name).name, role_of(python_name).group) == (name, group)


def test_the_database_drivers_thread_is_recognised() -> None:
    connection = aiosqlite.Connection(lambda: sqlite3.connect(":memory:"), iter_chunk_size=64)
    assert role_of(connection._thread.name).group is ThreadGroup.DATABASE


def test_busy_shares_come_from_the_difference_of_two_looks(tmp_path: Path) -> None:
    stat = write(tmp_path / "stat", "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 100 0 100 800 0 0 0 0 0 0\nintr 5\n")
    times = CoreTimes(tmp_path)
    times.read()
    stat.write_text("cpu  150 0 120 820 0 0 0 10 0 0\ncpu0 150 0 120 820 0 0 0 10 0 0\nintr 6\n")
    machine, cores, steal = times.read()
    assert known(machine) == pytest.approx(80)
    assert cores == (pytest.approx(80),)
    assert known(steal) == pytest.approx(10)


def test_a_core_that_goes_offline_costs_one_sample(tmp_path: Path) -> None:
    stat = write(tmp_path / "stat", "cpu  1 0 1 8 0 0 0 0\ncpu0 1 0 1 8 0 0 0 0\ncpu1 1 0 1 8 0 0 0 0\n")
    times = CoreTimes(tmp_path)
    times.read()
    stat.write_text("cpu  2 0 1 9 0 0 0 0\ncpu0 2 0 1 9 0 0 0 0\n")
    assert isinstance(times.read()[0], Unavailable)
    stat.write_text("cpu  3 0 1 9 0 0 0 0\ncpu0 3 0 1 9 0 0 0 0\n")
    assert known(times.read()[0]) == 100


def test_counters_that_go_back_are_no_negative_shares(tmp_path: Path) -> None:
    stat = write(tmp_path / "stat", "cpu  900 0 0 900 0 0 0 9\n")
    times = CoreTimes(tmp_path)
    times.read()
    stat.write_text("cpu  10 0 0 10 0 0 0 0\n")
    machine, _, steal = times.read()
    assert (known(machine), known(steal)) == (0, 0)


def test_a_file_that_vanishes_and_comes_back_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "value", "7\n")
    file = KernelFile(path)
    assert file.read_int() == 7
    file.close()
    path.unlink()
    assert file.read() is None
    path.write_text("8\n")
    assert file.read_int() == 8
    path.write_text("eight\n")
    file.close()
    assert file.read_int() is None
    file.close()


def test_a_long_file_is_read_whole(tmp_path: Path) -> None:
    file = KernelFile(write(tmp_path / "long", "x" * 200_000))
    assert len(file.read() or "") == 200_000
    file.close()


def test_cgroup_version_2_quota_limit_and_throttling(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/box\n")
    group = tmp_path / "sys/fs/cgroup/box"
    write(tmp_path / "sys/fs/cgroup/cgroup.controllers", "cpu memory")
    write(group / "cpu.max", "150000 100000\n")
    write(group / "memory.max", "2000000000\n")
    stat = write(group / "cpu.stat", "usage_usec 5\nthrottled_usec 1000\n")
    cgroup = ControlGroup(tmp_path / "proc", tmp_path / "sys")
    assert known(cgroup.quota_cores()) == 1.5
    assert known(cgroup.memory_limit()) == 2e9
    assert isinstance(cgroup.throttled_pct(0), Unavailable)
    stat.write_text("usage_usec 9\nthrottled_usec 251000\n")
    assert known(cgroup.throttled_pct(NS_PER_S)) == pytest.approx(25)
    cgroup.close()


def test_cgroup_version_1_quota_limit_and_throttling(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "4:memory:/box\n1:cpu:/box\n")
    cpu, memory = tmp_path / "sys/fs/cgroup/cpu/box", tmp_path / "sys/fs/cgroup/memory/box"
    write(cpu / "cpu.cfs_quota_us", "50000\n")
    write(cpu / "cpu.cfs_period_us", "100000\n")
    write(cpu / "cpu.stat", "nr_periods 1\nthrottled_time 0\n")
    write(memory / "memory.limit_in_bytes", "9223372036854771712\n")
    cgroup = ControlGroup(tmp_path / "proc", tmp_path / "sys")
    assert known(cgroup.quota_cores()) == 0.5
    assert cgroup.memory_limit() == Unavailable("no limit is set")
    cgroup.throttled_pct(0)
    write(cpu / "cpu.stat", "nr_periods 1\nthrottled_time 100000000\n")
    assert known(cgroup.throttled_pct(NS_PER_S)) == pytest.approx(10)
    cgroup.close()


def test_a_container_that_sees_its_group_as_the_root_is_found(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/../../somewhere/else\n")
    write(tmp_path / "sys/fs/cgroup/cgroup.controllers", "cpu")
    write(tmp_path / "sys/fs/cgroup/cpu.max", "max 100000\n")
    assert ControlGroup(tmp_path / "proc", tmp_path / "sys").quota_cores() == Unavailable("no limit is set")


def test_frequency_and_governor(tmp_path: Path) -> None:
    for number, khz in enumerate((2_000_000, 3_000_000)):
        policy = tmp_path / f"devices/system/cpu/cpufreq/policy{number}"
        write(policy / "scaling_cur_freq", f"{khz}\n")
        write(policy / "cpuinfo_max_freq", "3500000\n")
        write(policy / "scaling_governor", "powersave\n")
    frequency = Frequency(tmp_path)
    assert frequency.read() == (2500.0, 3500.0, "powersave")
    frequency.close()


def test_the_processors_own_sensor_is_preferred_and_the_hottest_counts(tmp_path: Path) -> None:
    write(tmp_path / "class/hwmon/hwmon0/name", "nvme\n")
    write(tmp_path / "class/hwmon/hwmon0/temp1_input", "90000\n")
    write(tmp_path / "class/hwmon/hwmon1/name", "k10temp\n")
    write(tmp_path / "class/hwmon/hwmon1/temp1_input", "61500\n")
    write(tmp_path / "class/hwmon/hwmon1/temp2_input", "63000\n")
    sensor = Temperature(tmp_path)
    assert known(sensor.read()) == 63.0
    for name in ("temp1_input", "temp2_input"):
        (tmp_path / "class/hwmon/hwmon1" / name).unlink()
    sensor.close()
    assert isinstance(sensor.read(), Unavailable)


def test_energy_counters_are_summed_and_may_wrap(tmp_path: Path) -> None:
    counters = []
    for number in (0, 1):
        folder = tmp_path / f"class/powercap/intel-rapl:{number}"
        write(folder / "max_energy_range_uj", "100000000\n")
        counters.append(write(folder / "energy_uj", "95000000\n"))
        write(tmp_path / f"class/powercap/intel-rapl:{number}:0/energy_uj", "1\n")
    energy = Energy(tmp_path)
    assert isinstance(energy.read(0), Unavailable)
    counters[0].write_text("5000000\n")
    counters[1].write_text("97000000\n")
    assert known(energy.read(NS_PER_S)) == pytest.approx(12)
    energy.close()


@linux
def test_what_of_a_mapped_file_is_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(os.urandom(64 * mmap.PAGESIZE))
    assert file_residency(path) == Unavailable("the file is read into private memory, not mapped")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ):
        assert file_residency(path) == Residency(64 * mmap.PAGESIZE, 64 * mmap.PAGESIZE)
