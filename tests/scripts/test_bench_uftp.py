"""What scripts/bench uftp works out, and a short transfer through two of the original's proxies."""

import argparse
import os
from pathlib import Path

import pytest

from scripts.benchmark.errors import CannotMeasure
from scripts.benchmark.uftp import makes
from scripts.benchmark.uftp.account import Account, read_log
from scripts.benchmark.uftp.chain import HOSTS, Chain
from scripts.benchmark.uftp.report import Results, as_text, outcomes, outcomes_as_text
from scripts.benchmark.uftp.transfer import Task, memory_alone, transfer
from tests.kit.requirement import requires_namespaces, requires_program

STAMP = "2026/11/22 02:11:25.0: [F6EF2A4A/00:0001]:"
LOG = f"""\
{STAMP} Bytes: 50000000  Blocks: 38462  Sections: 4
{STAMP} Got 492 NAKs for section 1 from proxy 0x0000C0C0
{STAMP} Got 8 NAKs for section 1 from proxy 0x0000C0C0
{STAMP} Got 5418 NAKs for section 3 from proxy 0x0000C0C0
HSTATS;target;num_copy;num_overwrite;num_skip;total_size;time;speed
STATS;0x00001111;1;0;0;47MB;2.466;19801.16KB/s
"""
COLUMNS = ("cpu_us_per_datagram", "busy_percent", "dropped", "pss_mb")


def figures(cpu_us, naks=0.0, **changed):
    run = dict.fromkeys(("mbit", "seconds", "datagrams", "sections_missed", "aborts", "identical"), 1.0)
    places = {f"{place}_{column}": cpu_us for place in ("above", "below") for column in COLUMNS}
    return {**run, **places, "naks": naks, **changed}


def results(own, theirs, rate=1000):
    found = Results(alone_pss_mb={"uftpproxyd": 64.0, "ours": 39.5})
    for ours, original in zip(own, theirs, strict=True):
        found.add("plain", rate, "uftpproxyd", original)
        found.add("plain", rate, "ours", ours)
    return found


def by_figure(found):
    return {outcome.goal.figure: outcome for outcome in outcomes(found)}


def test_a_servers_log_is_read():
    assert read_log(LOG) == Account(copied=True, seconds=2.466, blocks=38462, naks=5918, sections_missed=2, aborts=0)


def test_a_log_without_a_copy_has_none():
    assert not read_log(LOG.replace("STATS;0x00001111;1", "STATS;0x00001111;0")).copied
    assert not read_log(f"{STAMP} Received ABORT from 0x00001111: no space\n").copied
    assert read_log(f"{STAMP} Received ABORT from 0x00001111: no space\n").aborts == 1


def test_cpu_is_judged_as_a_ratio_to_the_original_of_the_same_round():
    found = by_figure(results([figures(1.0), figures(4.0)], [figures(2.0), figures(20.0)]))
    assert found["above_cpu_us_per_datagram"].median == pytest.approx(0.35)
    assert found["below_cpu_us_per_datagram"].reached


@pytest.mark.parametrize(("own", "theirs", "reached"), [(0, 0, True), (7, 7, True), (8, 7, False), (3, 7, True)])
def test_naks_are_judged_against_the_originals(own, theirs, reached):
    found = by_figure(results([figures(1.0, own)], [figures(1.0, theirs)], rate=2000))
    assert found["naks_surplus"].reached is reached
    assert "naks" not in found


def test_none_at_all_are_allowed_at_one_gigabit():
    assert by_figure(results([figures(1.0, 0)], [figures(1.0, 9)]))["naks"].reached
    assert not by_figure(results([figures(1.0, 1)], [figures(1.0, 9)]))["naks"].reached


def test_a_copy_that_differs_misses_the_goal():
    assert not by_figure(results([figures(1.0, identical=0.0)], [figures(1.0)]))["identical"].reached


def test_the_memory_that_counts_is_that_of_a_proxy_alone():
    found = results([figures(1.0)], [figures(1.0)])
    assert by_figure(found)["alone_pss_mb"].reached
    found.alone_pss_mb["ours"] = 40.1
    assert not by_figure(found)["alone_pss_mb"].reached


def test_the_report_has_both_makes_in_both_modes():
    options = argparse.Namespace(rounds=1, megabytes=250, buffer=4 << 20, workers=2)
    found = results([figures(1.0)], [figures(2.0)])
    text = as_text(found, options)
    assert text.count("\nours ") == text.count("\nuftpproxyd ") == 3
    assert "plain, uftp -R 1000 Mbit/s" in text
    assert "ours / uftpproxyd" in outcomes_as_text(found)


def test_our_proxy_is_found_in_a_checkout(tmp_path):
    with pytest.raises(CannotMeasure):
        makes.ours(tmp_path, 2)
    installed = tmp_path / ".venv/bin/uftpproxyd"
    installed.parent.mkdir(parents=True)
    installed.touch()
    assert makes.ours(tmp_path, 2).command == (str(installed),)
    assert makes.ours(tmp_path, 3).options == ("--workers", "3")


@requires_namespaces
def test_the_chain_is_gone_afterwards():
    with Chain() as chain:
        spaces = [Path(f"/run/netns/bench-{os.getpid()}-{host}") for host in HOSTS]
        assert all(space.exists() for space in spaces)
        assert chain.sent("server", "lan1") >= 0
    assert not any(space.exists() for space in spaces)


@requires_namespaces
@requires_program("uftp", "uftpd", "uftpproxyd")
@pytest.mark.parametrize("suite", ["plain", "gcm"])
def test_a_file_goes_through_two_original_proxies(tmp_path, suite):
    tmp_path.chmod(0o755)
    file = tmp_path / "file"
    file.write_bytes(os.urandom(2_000_000))
    task = Task(file, tmp_path, 100, suite, 4 << 20)
    with Chain() as chain:
        assert memory_alone(chain, makes.original(), task) > 10
        found = transfer(chain, makes.original(), task)
    assert found["identical"] == 1
    assert found["datagrams"] > 2_000_000 / 1300
    assert found["above_cpu_us_per_datagram"] > 0
    assert not (tmp_path / "received/file").exists()
