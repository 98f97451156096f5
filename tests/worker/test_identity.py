"""A process is known for what it is, also after its id was used again."""

import subprocess
import sys
from pathlib import Path

from worker.identity import ProcessIdentity


def test_an_identity_survives_being_written_down():
    own = ProcessIdentity.own()
    assert ProcessIdentity.parse(str(own)) == own


def test_any_other_text_is_no_identity():
    for text in ("", "a", "a-1", "a-1-", "a--1", "-1-1", "../x-1-1", "a-1-٣", "a-1-" + "9" * 30):
        assert ProcessIdentity.parse(text) is None


def test_this_process_is_here_and_alive():
    own = ProcessIdentity.own()
    assert own.is_here
    assert not own.is_gone


def test_an_id_that_was_used_again_is_another_process():
    own = ProcessIdentity.own()
    assert own._replace(started=own.started - 1).is_gone


def test_nothing_is_known_of_a_process_elsewhere():
    elsewhere = ProcessIdentity.own()._replace(machine="elsewhere", started=1)
    assert not elsewhere.is_here
    assert not elsewhere.is_gone
    assert not elsewhere.kill()


def test_a_process_that_was_killed_is_gone_before_its_parent_has_noticed(wait_until):
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); import signal; signal.pause()"],
        stdout=subprocess.PIPE,
    ) as child:
        child.stdout.readline()
        fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        identity = ProcessIdentity.own()._replace(pid=child.pid, started=int(fields[19]))
        assert not identity.is_gone
        assert identity.kill()
        # Nobody has waited for it yet, so it is still listed.
        wait_until(lambda: identity.is_gone, "its end", 5)
        assert not identity.kill()
