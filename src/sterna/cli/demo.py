"""The demo: a live Redis-compatible server moves to another one, through the cloud's own API and SDK.

Everything in it is real: two servers, the service as its own process, the vendor's SDK, and a worker that is
killed with SIGKILL twice on the way.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from sterna.cli.demo_data import Client, Writer, fill
from sterna.cli.demo_servers import free_port, valkey

WAIT_S = 120.0


@dataclass
class Figures:
    """What the demo saw; printed at its end."""

    keys: int = 0
    kills: int = 0
    facts: dict[str, str] = field(default_factory=dict)
    checks: list[tuple[str, bool, str]] = field(default_factory=list)

    def check(self, what: str, holds: bool, evidence: str) -> None:
        self.checks.append((what, holds, evidence))

    @property
    def good(self) -> bool:
        return bool(self.checks) and all(holds for _, holds, _ in self.checks)


def demo(keys: int = 200_000, console: Console | None = None) -> bool:
    """Run it. Returns whether everything that was claimed held."""
    console = console or Console()
    figures = Figures()
    began = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sterna-demo-")))
        source = stack.enter_context(valkey(folder / "source"))
        target = stack.enter_context(valkey(folder / "target"))
        console.print(f"[bold]Two Valkey servers[/] run on ports {source} (source) and {target} (target).")
        figures.keys = fill(source, keys)
        console.print(
            f"The source holds [bold]{figures.keys:,}[/] keys of every type, some of them about to expire."
        )
        cloud = stack.enter_context(service(folder / "data", console))
        cloud.register("demo-source", source)
        cloud.register("demo-target", target)
        writer = Writer(source)
        writer.start()
        console.print(
            "A writer changes the source without rest: INCR, LPUSH, ZADD, XADD, SET EX, EXPIRE, DEL, MULTI."
        )
        _migrate(cloud, writer, figures, console)
        writer.stop()
        _cut_over(cloud, writer, console)
        _prove(cloud, source, target, writer, figures)
    figures.facts["time"] = f"{time.monotonic() - began:.1f} s in all"
    _report(figures, console)
    return figures.good


class Cloud:
    """Our own service, and the vendor's SDK as its client."""

    def __init__(self, data: Path, port: int, who: dict[str, str], process: subprocess.Popen[bytes]) -> None:
        from huaweicloudsdkcore.auth.credentials import BasicCredentials
        from huaweicloudsdkdcs.v2 import DcsClient

        self._data = data
        self._process = process
        self.instances: dict[str, str] = {}
        credentials = BasicCredentials(who["access_key"], who["secret_key"], who["project_id"])
        builder = DcsClient.new_builder().with_credentials(credentials)
        self.client: Any = builder.with_endpoint(f"http://127.0.0.1:{port}").build()
        self.task = ""

    def register(self, name: str, port: int) -> None:
        words = ["instance", "add", "--name", name, "--engine", "redis", "--address", f"127.0.0.1:{port}"]
        self.instances[name] = sterna(self._data, *words)["id"]

    def start(self) -> None:
        from huaweicloudsdkdcs.v2 import model

        body = model.CreateOnlineMigrationTaskBody(
            name="demo-migration", vpc_id="demo-vpc", subnet_id="demo-subnet", security_group_id="demo-group"
        )
        answer = self.client.create_online_migration_task(model.CreateOnlineMigrationTaskRequest(body=body))
        self.task = answer.instance_id
        set_body = model.SetOnlineMigrationTaskBody(
            migration_method="incremental_migration",
            resume_mode="auto",
            source_instance=model.ConfigMigrationInstanceBody(id=self.instances["demo-source"]),
            target_instance=model.ConfigMigrationInstanceBody(id=self.instances["demo-target"]),
        )
        self.client.set_online_migration_task(
            model.SetOnlineMigrationTaskRequest(task_id=self.task, body=set_body)
        )

    def status(self) -> str:
        from huaweicloudsdkdcs.v2 import model

        answer = self.client.show_migration_task(model.ShowMigrationTaskRequest(task_id=self.task))
        return str(answer.status)

    def stats(self) -> Any:
        from huaweicloudsdkdcs.v2 import model

        return self.client.show_migration_task_stats(model.ShowMigrationTaskStatsRequest(task_id=self.task))

    def stop(self) -> None:
        from huaweicloudsdkdcs.v2 import model

        self.client.stop_migration_task(model.StopMigrationTaskRequest(task_id=self.task))

    def kill_worker(self) -> bool:
        """SIGKILL for the process that moves the data."""
        found = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for child in found:
            os.kill(int(child), signal.SIGKILL)
        return bool(found)


@contextmanager
def service(data: Path, console: Console) -> Iterator[Cloud]:
    """``sterna init`` and ``sterna serve``, as anyone would run them."""
    who = sterna(data, "init")
    port = free_port()
    with (data / "serve.log").open("wb") as log:
        words = [sys.executable, "-m", "sterna", "serve", "--data", str(data), "--listen", f"127.0.0.1:{port}"]
        process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        wait_for("the service", lambda: _healthy(port) if process.poll() is None else _dead(data))
        console.print(f"[bold]sterna serve[/] listens on port {port}, with SQLite as its store.")
        yield Cloud(data, port, who, process)
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


def _dead(data: Path) -> bool:
    raise RuntimeError("the service ended by itself:\n" + (data / "serve.log").read_text()[-2000:])


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def sterna(data: Path, *words: str, good: tuple[int, ...] = (0,)) -> dict[str, Any]:
    """Run a command of ours and return what it prints as JSON."""
    command = [sys.executable, "-m", "sterna", *words, "--data", str(data), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in good:
        raise RuntimeError(f"sterna {words[0]} failed: {done.stderr or done.stdout}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def wait_for(what: str, holds: Callable[[], bool], seconds: float = WAIT_S) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise RuntimeError(f"{what} did not happen within {seconds:g} s")
        time.sleep(0.05)


def _migrate(cloud: Cloud, writer: Writer, figures: Figures, console: Console) -> None:
    """Create the migration with the SDK, watch it, kill its worker in the copy and again while it follows."""
    began = time.monotonic()
    cloud.start()
    console.print(f"Migration [bold]{cloud.task}[/] created with the vendor's SDK (huaweicloudsdkdcs).")
    columns = (TextColumn("{task.fields[status]:14}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
    with Progress(*columns, TextColumn("{task.fields[more]}"), console=console) as bar:
        shown = bar.add_task("copy", total=100, status="CREATING", more="")
        killed = False
        while (status := cloud.status()) != "INCRMIGEATING":
            if status in ("FAILED", "SUCCESS", "TERMINATED"):
                raise RuntimeError(f"the migration ended as {status}")
            percent = _show(bar, shown, status, cloud, writer)
            if not killed and percent >= 20:
                killed = _kill(cloud, figures, bar, "in the middle of the copy")
            if time.monotonic() - began > WAIT_S:
                raise RuntimeError("the copy took too long")
            time.sleep(0.05)
        figures.facts["copied"] = (
            f"{figures.keys:,} keys in {time.monotonic() - began:.1f} s, with a restart within"
        )
        for second in range(40):
            _show(bar, shown, cloud.status(), cloud, writer)
            if second == 15:
                _kill(cloud, figures, bar, "while it follows")
            time.sleep(0.1)


def _kill(cloud: Cloud, figures: Figures, bar: Progress, when: str) -> bool:
    if not cloud.kill_worker():
        return False
    figures.kills += 1
    bar.console.print(f"[red]kill -9[/] of the worker {when}: it has to go on from where it was.")
    return True


def _show(bar: Progress, shown: TaskID, status: str, cloud: Cloud, writer: Writer) -> int:
    stats = cloud.stats()
    percent = int(stats.full_migration_progress or 0)
    keys = f"{stats.target_dbsize} of {stats.source_dbsize} keys"
    more = f"{keys}, lag {stats.offset}, {writer.commands:,} writes meanwhile"
    bar.update(shown, completed=percent, status=status, more=more)
    return percent


def _cut_over(cloud: Cloud, writer: Writer, console: Console) -> None:
    began = time.monotonic()
    wait_for("the target to have everything", lambda: cloud.stats().offset == "0")
    console.print(
        f"The writer rests after {writer.commands:,} writes; lag zero {time.monotonic() - began:.1f} s later."
    )
    cloud.stop()
    wait_for("the end of the task", lambda: cloud.status() == "TERMINATED")
    console.print("Stopped through the API: [bold]TERMINATED[/]. The target stands by itself now.")


def _prove(cloud: Cloud, source: int, target: int, writer: Writer, figures: Figures) -> None:
    """Compare everything, and count what must not be counted twice."""
    result = _compare(source, target)
    differences = f"{result['compared']:,} keys compared by type, expiry and value: {result['different']} differ"
    figures.check("Source and target are equal", bool(result["equal"]), differences)
    there = Client(target)
    counter, journal = int(there.call("GET", "counter")), int(there.call("LLEN", "journal"))
    there.close()
    evidence = f"{writer.rounds:,} INCR sent, the target's counter says {counter:,}"
    figures.check("INCR arrived exactly once", counter == writer.rounds, evidence)
    evidence = f"{writer.rounds:,} LPUSH sent, the target's list holds {journal:,}"
    figures.check("LPUSH arrived exactly once", journal == writer.rounds, evidence)
    figures.check("It survived kill -9", figures.kills == 2, f"the worker was killed {figures.kills} times")


def _compare(source: int, target: int) -> dict[str, Any]:
    urls = [f"redis://127.0.0.1:{port}" for port in (source, target)]
    command = [sys.executable, "-m", "sterna", "compare", *urls, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise RuntimeError(f"sterna compare failed: {done.stderr or done.stdout}") from None
    return answer


def _report(figures: Figures, console: Console) -> None:
    table = Table(title="What was moved, and proved")
    for heading in ("claim", "holds", "evidence"):
        table.add_column(heading)
    for what, holds, evidence in figures.checks:
        table.add_row(what, "[green]yes[/]" if holds else "[red]NO[/]", evidence)
    for name, value in figures.facts.items():
        table.add_row(name, "", value)
    console.print(table)
