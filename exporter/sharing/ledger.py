"""What several exporters share, in Redis: who is there, leases, records, the ceiling.

Every call takes a second or so at most and ends in what was asked for or in a
`SharedStateError`, whatever Redis does. Time is Redis's own, so no two clocks have to
agree. It decides nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from hashlib import blake2b
from typing import Any, NamedTuple, cast
from uuid import uuid4

from limits import RateLimitItemPerSecond
from limits.errors import ConfigurationError
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry

from exporter.model.errors import SharedStateError
from exporter.sharing.membership import FORGET_SECONDS, LEASE_SECONDS, Roll, windows

_PREFIX = "{braze-exporter}"
"""In braces, for a cluster keeps together what they hold the same text in."""

_TIMEOUT_SECONDS = 1.0
_KEPT_SECONDS = 2 * 86400
"""So long what is shared outlives the last exporter."""

_MOST_WORDS = 4096
_MOST_NUMBER = 2**53
"""Up to here a double holds every integer: no record has a higher number."""

_AT_ONCE = 200
"""Records in one call."""

_BEAT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local me, wishes = ARGV[1], ARGV[2]
local lease, forget, kept = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

-- First what a Redis without memory refuses: after another write it would not.
redis.call('ZADD', KEYS[1], now, me)
-- What lies far ahead was said by a clock that has been set back since.
for _, key in ipairs({KEYS[1], KEYS[4]}) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - forget)
  redis.call('ZREMRANGEBYSCORE', key, '(' .. (now + lease), '+inf')
end
if ARGV[6] == '1' then
  redis.call('ZADD', KEYS[4], now, me)
else
  redis.call('ZREM', KEYS[4], me)
end

local leases = redis.call('HGETALL', KEYS[2])
local held = {}
for i = 1, #leases, 2 do held[leases[i]] = leases[i + 1] end
local mine = {}
for p = 1, #wishes do
  local wish, field = string.sub(wishes, p, p), tostring(p)
  local expiry, who = string.match(held[field] or '', '^(%d+) (.*)$')
  local is_mine = who == me
  local left = who and tonumber(expiry) - now
  local is_free = not who or left <= 0 or left > 2 * lease
  if (wish == 'w' and (is_mine or is_free)) or (wish == 'h' and is_mine) then
    redis.call('HSET', KEYS[2], field, string.format('%d %s', now + lease, me))
    mine[p] = '1'
  else
    if wish == 'r' and is_mine then redis.call('HDEL', KEYS[2], field) end
    mine[p] = '0'
  end
end
for _, key in ipairs({KEYS[1], KEYS[2]}) do redis.call('EXPIRE', key, kept) end
local since = '(' .. (now - lease)
local live = redis.call('ZRANGEBYSCORE', KEYS[1], since, '+inf')
local silent = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - lease)
local alone = redis.call('ZCOUNT', KEYS[4], since, '+inf')
local sequence = tonumber(redis.call('GET', KEYS[3]) or 0)
if sequence then  -- what is numbered beyond it was not published by us
  redis.call('ZREMRANGEBYSCORE', KEYS[5], '(' .. sequence, '+inf')
end
return {table.concat(mine), live, alone, silent, sequence}
"""

_LEAVE = """
redis.call('ZREM', KEYS[1], ARGV[1])
local leases = redis.call('HGETALL', KEYS[2])
for i = 1, #leases, 2 do
  local who = string.match(leases[i + 1], '^%d+ (.*)$')
  if who == ARGV[1] then redis.call('HDEL', KEYS[2], leases[i]) end
end
"""

_PUBLISH = """
local kept = tonumber(ARGV[1])
for i = 2, #ARGV, 2 do
  local number = redis.call('INCR', KEYS[1])
  redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1])
  redis.call('ZADD', KEYS[2], number, ARGV[i])
end
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, kept) end
"""


class News(NamedTuple):
    """Records that changed, by the name they were published under."""

    records: Mapping[str, bytes]
    cursor: int
    """Where to go on from."""


class Ledger:
    """What is shared in one database of Redis. Any thread may call any method."""

    def __init__(self, url: str, member: str = "") -> None:
        """`member` names this exporter, by chance if empty; ValueError: a bad URL."""
        self.member = member = member or uuid4().hex
        """How this exporter is known to the others."""
        try:
            self._redis = Redis.from_url(
                url,
                socket_timeout=_TIMEOUT_SECONDS,
                socket_connect_timeout=_TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 0),
                client_name=_client_name(member),
            )
            self._storage = RedisStorage(
                "redis://",
                connection_pool=self._redis.connection_pool,
                key_prefix=f"{_PREFIX}:limit",
            )
        except (ValueError, ConfigurationError, RedisError):
            # Their words may quote the URL, and with it a password.
            message = (
                "it is no URL of a Redis, expected redis://HOST:PORT/DATABASE, "
                "rediss://... for TLS, or unix:///PATH?db=DATABASE"
            )
            raise ValueError(message) from None
        self._limiter = FixedWindowRateLimiter(self._storage)
        self._beat = self._redis.register_script(_BEAT)
        self._leave = self._redis.register_script(_LEAVE)
        self._publish = self._redis.register_script(_PUBLISH)

    def beat(self, wishes: str, *, is_alone: bool = False) -> Roll:
        """Say that we are there and what leases we wish; return how it stands.

        Who is alone does not ask for permits yet, but keeps to a part of his own.
        """
        names = ("members", "leases", "sequence", "alone", "changes")
        with _mapped():
            mine, live, alone, silent, sequence = self._beat(
                keys=[_key(name) for name in names],
                args=[
                    self.member,
                    wishes,
                    int(LEASE_SECONDS * 1000),
                    int(FORGET_SECONDS * 1000),
                    _KEPT_SECONDS,
                    int(is_alone),
                ],
            )
            return Roll(
                live=tuple(sorted(_text(one) for one in live)),
                alone=int(alone),
                vanished=len(self._cut_off({_text(one) for one in silent})),
                leased=frozenset(
                    number for number, one in enumerate(_text(mine)) if one == "1"
                ),
                sequence=int(sequence),
            )

    def _cut_off(self, silent: set[str]) -> set[str]:
        """Return who of them may still live: his connection stands, or who knows.

        The kernel closes those of a process that dies. Of one that is cut off nobody
        closes them before Redis's keepalive does.
        """
        if not silent:
            return silent
        try:
            clients = self._redis.client_list()
        except ResponseError:
            return silent  # we may not ask
        names = {client.get("name") for client in clients}
        return {member for member in silent if _client_name(member) in names}

    def leave(self) -> None:
        """Say that we go, and give all leases back."""
        with _mapped():
            self._leave(keys=[_key("members"), _key("leases")], args=[self.member])

    def publish(self, records: Mapping[str, bytes]) -> None:
        """Let others read these records, each in the place of its former one."""
        names = tuple(records)
        for start in range(0, len(names), _AT_ONCE):
            chosen = names[start : start + _AT_ONCE]
            arguments = [part for name in chosen for part in (name, records[name])]
            with _mapped():
                self._publish(
                    keys=[_key("sequence"), _key("changes"), _key("records")],
                    args=[_KEPT_SECONDS, *arguments],
                )

    def news(self, cursor: int, is_wanted: Callable[[str], bool]) -> Iterator[News]:
        """Yield what was published since, as far as it is wanted; 0: all there is.

        In the order of its publishing, a part at a time.
        """
        while True:
            with _mapped():
                changes = cast(
                    "list[tuple[bytes, float]]",
                    self._redis.zrangebyscore(
                        _key("changes"),
                        f"({cursor}",
                        _MOST_NUMBER,
                        start=0,
                        num=_AT_ONCE,
                        withscores=True,
                    ),
                )
                names = [one for one, _ in changes if is_wanted(_text(one))]
                found = (
                    cast(
                        "list[bytes | None]", self._redis.hmget(_key("records"), names)
                    )
                    if names
                    else []
                )
            if not changes:
                yield News({}, cursor)
                return
            # Ours are whole; of another one it must not be read for ever.
            cursor = math.ceil(changes[-1][1])
            pairs = zip(names, found, strict=True)
            yield News({_text(name): one for name, one in pairs if one}, cursor)

    def forget(self, names: Iterable[str]) -> None:
        """Remove records of what is polled no more."""
        gone = list(names)
        if gone:
            with _mapped():
                self._redis.zrem(_key("changes"), *gone)
                self._redis.hdel(_key("records"), *gone)

    def permit(
        self, account: str, requests_per_minute: float, share: Fraction
    ) -> float | None:
        """Spend one request of a shared ceiling; else return in how many seconds."""
        items = [
            RateLimitItemPerSecond(amount, seconds)
            for amount, seconds in windows(requests_per_minute, share)
        ]
        with _mapped():
            if any(self._limiter.hit(item, account) for item in items):
                return None
            milliseconds = min(self._left(item, account) for item in items)
        # Without a time it has just ended.
        return max(0, milliseconds) / 1000

    def _left(self, item: RateLimitItemPerSecond, account: str) -> int:
        """Return in how many milliseconds a window ends."""
        key = self._storage.prefixed_key(item.key_for(account))
        return int(cast("Any", self._redis.pttl(key)))

    def post(self, name: str, content: bytes) -> None:
        """Let others read a catalogue, in the place of its former one."""
        version = blake2b(content, digest_size=16).hexdigest()
        with _mapped():
            self._redis.hset(_key("catalogues"), name, content)
            self._redis.hset(_key("versions"), name, version)
            for each in ("catalogues", "versions"):
                self._redis.expire(_key(each), _KEPT_SECONDS)

    def has_post(self, name: str) -> bool:
        """Tell whether a catalogue is there."""
        with _mapped():
            keys = (_key(each) for each in ("catalogues", "versions"))
            return all(self._redis.hexists(key, name) for key in keys)

    def posted(self, seen: Mapping[str, str]) -> Iterator[tuple[str, str, bytes]]:
        """Yield name, version and content of catalogues that are not as they were seen.

        `seen` are the names that are asked for, each with its version; empty: none.
        """
        names = list(seen)
        if not names:
            return
        with _mapped():
            versions = cast(
                "list[bytes | None]", self._redis.hmget(_key("versions"), names)
            )
        for name, told in zip(names, versions, strict=True):
            version = _text(told or b"")
            if version in {"", seen[name]}:
                continue
            with _mapped():
                content = cast(
                    "bytes | None", self._redis.hget(_key("catalogues"), name)
                )
            yield name, version, content or b""

    def say(self, words: Mapping[str, str]) -> None:
        """Tell the others what Braze said of the buckets of these accounts."""
        # In one call, as all that is asked for each workspace: there may be thirty.
        with _mapped(), self._redis.pipeline(transaction=False) as calls:
            for account, word in words.items():
                key = _key(f"words:{account}")
                calls.hset(key, self.member, word)
                calls.expire(key, int(FORGET_SECONDS))
            calls.execute()

    def words(self, accounts: Iterable[str]) -> tuple[tuple[object, ...], ...]:
        """Return for each account what the others were told, as documents.

        What is none is left out.
        """
        with _mapped(), self._redis.pipeline(transaction=False) as calls:
            for account in accounts:
                calls.hgetall(_key(f"words:{account}"))
            said = cast("list[dict[bytes, bytes]]", calls.execute())
        return tuple(self._of_others(one) for one in said)

    def _of_others(self, said: Mapping[bytes, bytes]) -> tuple[object, ...]:
        return tuple(
            document
            for member, word in said.items()
            if _text(member) != self.member
            and (document := _document(word)) is not None
        )

    def close(self) -> None:
        """Close all connections."""
        with _mapped():
            self._redis.close()


def _client_name(member: str) -> str:
    return f"braze-exporter-{member}"


def _document(word: bytes) -> object:
    if len(word) > _MOST_WORDS:
        return None
    try:
        return cast("object", json.loads(word))
    except (ValueError, RecursionError):
        return None


def _key(name: str) -> str:
    return f"{_PREFIX}:{name}"


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


@contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError, ValueError, TypeError) as error:
        # Not its text alone: a timeout has hardly any.
        message = f"{type(error).__name__}: {error}"
        raise SharedStateError(message) from error
