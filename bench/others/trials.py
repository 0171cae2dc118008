"""Tries how each framework treats a job that panics, one that does not decode,
one without a handler, and the job of a worker that is killed; and counts the
syncs of a publication. Prints the results, which
docs/beside-other-frameworks.md describes.

`scripts/beside-frameworks --trials` runs this.
"""

import json
import queue
import signal
import sqlite3
import subprocess
import threading
import time

# How long a trial looks: a little longer than the heartbeats of apalis need.
LONG = 130


class Worker:
    """A worker in a process of its own, and what it printed."""

    def __init__(self, command):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, **pipes, text=True)
        self.lines, self.seen = queue.Queue(), []
        threading.Thread(target=self.read, daemon=True).start()
        self.errors = []
        threading.Thread(target=lambda: self.errors.extend(self.process.stderr), daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.strip())

    def put(self, subject):
        """Publishes a job in the process of the worker."""
        self.process.stdin.write(subject + "\n")
        self.process.stdin.flush()

    def wait(self, start, seconds):
        """After how many seconds a line began like that, or None."""
        started = time.monotonic()
        while time.monotonic() < started + seconds:
            try:
                line = self.lines.get(timeout=0.2)
            except queue.Empty:
                continue
            self.seen.append(line)
            if line.startswith(start):
                return round(time.monotonic() - started, 1)
        return None

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def look(entry, stores, place):
    """The jobs in the store, as the framework keeps them."""
    if entry.program == "pulpo":
        return "see docs/promises.md"
    if entry.store == "redis":
        redis = stores.servers["redis"]
        return {
            "waiting": redis.command("LLEN", "queue:default"),
            "retry": redis.command("ZCARD", "retry"),
            "dead": redis.command("ZCARD", "dead"),
        }
    if entry.store == "postgres":
        schema = place.split("schema=")[1]
        rows = stores.servers["postgres"].psql(f"SELECT row_to_json(j) FROM {schema}._private_jobs j")
        wanted = {"attempts", "max_attempts", "last_error", "run_at", "locked_by", "state", "is_available"}
        return [{k: v for k, v in json.loads(row).items() if k in wanted} for row in rows.splitlines()]
    with sqlite3.connect(f"file:{place}/queue.db?mode=ro", uri=True) as database:
        query = {
            "apalis": "SELECT status, attempts, max_attempts, last_result, lock_by FROM Jobs",
            "effectum": "SELECT jobs.status, current_try, run_info, active_worker_id, run_at - unixepoch()"
            " FROM jobs LEFT JOIN active_jobs USING (job_id)",
        }[entry.program]
        return database.execute(query).fetchall()


def change(entry, stores, place, column):
    """Makes the only job one that does not decode, or one of an unknown type."""
    unknown = column == "type"
    if entry.program == "apalis":
        sql = "UPDATE Jobs SET job_type = 'unknown'" if unknown else "UPDATE Jobs SET job = CAST('{\"to\": 5}' AS BLOB)"
    elif entry.program == "effectum":
        sql = "UPDATE jobs SET job_type = 'unknown'" if unknown else "UPDATE jobs SET payload = CAST('{\"to\": 5}' AS BLOB)"
    elif entry.program == "graphile":
        schema = place.split("schema=")[1]
        postgres = stores.servers["postgres"]
        if unknown:
            postgres.psql(f"DELETE FROM {schema}._private_jobs; SELECT {schema}.add_job('unknown', '{{}}'::json)")
        else:
            postgres.psql(f"UPDATE {schema}._private_jobs SET payload = '{{\"to\": 5}}'")
        return
    elif entry.program == "sidekiq":
        redis = stores.servers["redis"]
        redis.command("DEL", "queue:default")
        name, args = ("Unknown", []) if unknown else ("EmailWorker", [{"to": 5}])
        job = {"queue": "default", "class": name, "args": args, "jid": "1", "created_at": 1.0, "retry": True}
        redis.command("LPUSH", "queue:default", json.dumps(job))
        return
    else:
        return
    with sqlite3.connect(f"{place}/queue.db") as database:
        database.execute(sql)


def say(entry, what, seen):
    print(f"{entry.name}: {what}: {seen}", flush=True)


def syncs(entry, stores, command):
    """Syncs of the process for a job, if the store is a file."""
    if entry.store != "sqlite":
        return
    counts = []
    for jobs in ["0", "200"]:
        place = stores.fresh(entry.store)
        strace = ["strace", "-f", "-c", "-e", "trace=fsync,fdatasync", *command(entry, place, "publish-count", jobs)]
        said = subprocess.run(strace, capture_output=True, text=True).stderr
        rows = [line.split() for line in said.splitlines()]
        # Share, seconds, microseconds a call, calls, perhaps errors, and the name.
        counts.append(sum(int(row[3]) for row in rows if len(row) > 4 and row[-1] in ("fsync", "fdatasync")))
    with sqlite3.connect(f"file:{place}/queue.db?mode=ro", uri=True) as database:
        journal = database.execute("PRAGMA journal_mode").fetchone()[0]
    say(entry, "syncs for a job published", f"{(counts[1] - counts[0]) / 200} (journal {journal})")


def panics(entry, stores, command, run):
    place = stores.fresh(entry.store)
    run(entry, place, "put", "panic")
    worker = Worker(command(entry, place, "work", "1"))
    worker.wait("began panic", 60)
    again = worker.wait("began panic", 60)
    worker.put("hello")
    goes_on = worker.wait("began hello", 40)
    worker.kill()
    runs = sum(line.startswith("began panic") for line in worker.seen + list(worker.lines.queue))
    seen = f"{runs} runs in a minute, the second after {again}; the next job began after {goes_on}; left {look(entry, stores, place)}"
    say(entry, "panic", seen)


def odd(entry, stores, command, run, column):
    place = stores.fresh(entry.store)
    run(entry, place, "put", "hello")
    change(entry, stores, place, column)
    worker = Worker(command(entry, place, "work", "2"))
    time.sleep(20)
    worker.kill()
    say(entry, f"odd {column}", f"left {look(entry, stores, place)}; said {worker.errors[-2:]}")


def begun(entry, stores, command, run):
    """A worker that has begun a job which never ends, and its store."""
    place = stores.fresh(entry.store)
    run(entry, place, "put", "slow")
    worker = Worker(command(entry, place, "work", "2"))
    assert worker.wait("began slow", 60) is not None
    time.sleep(1)
    return worker, place


def kill(entry, stores, command, run):
    first, place = begun(entry, stores, command, run)
    first.kill()
    second = Worker(command(entry, place, "work", "2"))
    again = second.wait("began slow", LONG)
    second.kill()
    say(entry, "killed during a job", f"runs again after {again} s; left {look(entry, stores, place)}")


def shared(entry, stores, command, run):
    """Whether a second worker process takes a job that the first one runs."""
    if entry.store != "sqlite":
        return
    first, place = begun(entry, stores, command, run)
    second = Worker(command(entry, place, "work", "2"))
    again = second.wait("began slow", LONG)
    first.kill()
    second.kill()
    say(entry, "a second worker while the first runs a job", f"begins it after {again} s")


def twice(entry, stores, command, run):
    """Two processes work off one queue."""
    if entry.store != "sqlite":
        return
    place = stores.fresh(entry.store)
    run(entry, place, "publish-count", "3000")
    workers = [Worker(command(entry, place, "work", "8")) for _ in range(2)]
    time.sleep(20)
    for worker in workers:
        worker.kill()
    ran = [line for worker in workers for line in worker.lines.queue if line.startswith("ran ")]
    errors = [worker.errors[-1:] for worker in workers]
    say(entry, "two worker processes", f"{len(ran)} runs of {len(set(ran))} jobs of 3000; said {errors}")


def run(entries, stores, command, start):
    for entry in entries:
        syncs(entry, stores, command)
        panics(entry, stores, command, start)
        odd(entry, stores, command, start, "body")
        odd(entry, stores, command, start, "type")
        kill(entry, stores, command, start)
        shared(entry, stores, command, start)
        twice(entry, stores, command, start)
