<?php

/**
 * What the extension `larder` offers, for IDEs and static analysis. Not loaded by PHP.
 */

namespace Larder;

/** Misuse, bad configuration or a grace; never an outage. */
class Exception extends \Exception
{
}

/** An option is unknown or has a bad value; the message names it. */
class ConfigException extends Exception
{
}

/** A key, cache name or value that cannot be stored. */
class ValueException extends Exception
{
}

/**
 * Nobody new gets a named lock for a while, because locks may have been lost and its holder may not know yet; the message says
 * how long. Thrown by Store::acquireLock() if that is longer than the wait.
 */
class GraceException extends Exception
{
}

/**
 * A store: a backend with decoded values before it in the memory of this process.
 */
final class Store
{
    /**
     * The store for a configuration, kept by the process across requests. Does not connect.
     *
     * @param array<string, string|int|float|null> $config See docs/configuration.md.
     * @throws ConfigException
     */
    public static function open(#[\SensitiveParameter] array $config): Store
    {
    }

    /**
     * A cache of this store.
     *
     * @param array{ttl?: int|null, near?: bool, durable?: bool} $options
     *   `ttl`: seconds to live, negative = expired at once, 0 or null = for ever.
     *   `near`: keep values in memory (default). Without, each read goes to the backend, and entries survive a change
     *   of the server's identity.
     *   `durable`: entries survive such a change and are not evicted, and values are kept in memory; wins over `near`.
     * @throws ValueException
     */
    public function cache(string $name, array $options = []): Cache
    {
    }

    /**
     * The values of keys of several caches that are not kept in memory (`near` is false): one round trip.
     *
     * @param array<string, array<string|int>> $keys By the caches' names.
     * @return array<string, array<string|int, mixed>> Those that have a value, by the same names.
     * @throws ValueException
     */
    public function getMany(array $keys): array
    {
    }

    /** A sync point now: later reads see all that was acknowledged before this call. One round trip. */
    public function sync(): void
    {
    }

    /**
     * Fetches the values that the processes which serve requests hold in their memory, so that this one, and others of
     * its node behind a node tier, need not fetch them one by one. How many there were; 0 during an outage. Five round
     * trips at most.
     */
    public function warm(): int
    {
    }

    /**
     * What this process did with the store, and what it holds. No round trip.
     *
     * Times (`store_us`, `lock_us`) are microseconds: waiting for the server, and getting locks.
     *
     * @return array<string, int>
     */
    public function stats(): array
    {
    }

    /**
     * What the nodes did that use this store, and are, by the names of their hosts. Of this node as it is now, of the others as
     * they told, which each does once a minute at the end of a request; a node that told nothing for a day is none. On Redis two
     * round trips, and one for each hundred nodes; nothing if the backend is away.
     *
     * Of a node: `version` of Larder; `options` of its configuration, without secrets, and `configuration`, a short text that is
     * equal where they are; `seen`, when it told this (Unix seconds); `clock_ahead` of the server's clock (seconds); `tier` and
     * `reason` as in {@see health()}; `processes` that are alive and have used the store, and the `near_bytes` and `near_entries`
     * that they hold; then samples: `total` since the node began to count (after a boot, as a rule), `minutes` of the last hour
     * and `hours` of the last day, without those in which nothing was done, oldest first.
     *
     * A sample is `time` (Unix seconds) when it began, and counts: `requests`, `round_trips`, `bytes_sent` and `bytes_received`,
     * `store_us` and `lock_us` (microseconds spent waiting for the server, and on getting locks), `dropped_fills`, `broken`,
     * `awaited`, `shared_fills`, `resets`, `errors`, and of all caches together `near_hits` (reads answered from memory), `hits`
     * (by the server), `misses`, `sets`, `deletes` (keys) and `purges`; these six also for each cache, in `caches` by its name.
     * Reads are the sum of the first three of them. No sample names more than 255 caches; `(others)` has the rest.
     *
     * @return array<string, array{version: string, configuration: string, options: array<string, string>, seen: int,
     *     clock_ahead: float, tier: string, reason: string, processes: int, near_bytes: int, near_entries: int,
     *     total: array<string, int|array<string, array<string, int>>>,
     *     minutes: list<array<string, int|array<string, array<string, int>>>>,
     *     hours: list<array<string, int|array<string, array<string, int>>>>}>
     */
    public function statistics(): array
    {
    }

    /**
     * Asks now: `reachable` (somebody serves), `tier` ('primary', 'fallback' or 'none'), `since` (Unix seconds, 0 if that was
     * never otherwise), `waiting` (invalidations that the server was not told yet, 1001 = more than 1000), `refusing` (the
     * server serves, but has refused them: this node does not serve what they are about), `reason` (why it does not serve, or
     * what it refuses, or ''), `facts` about the backend by name (empty if it is away).
     *
     * @return array{reachable: bool, tier: string, since: float, waiting: int, refusing: bool, reason: string,
     *     facts: array<string, int|string>}
     */
    public function health(): array
    {
    }

    /**
     * Asks the server now, also while it is left alone after a failure: null if it answers; if not, what is wrong and what
     * to do about it, in English. A round trip or two.
     *
     * @return array{error: string, advice: string}|null
     */
    public function reach(): ?array
    {
    }

    /**
     * Takes the lines that there are to log about outages and refusals: one for each change on this node, given to one process.
     *
     * @return list<string>
     */
    public function events(): array
    {
    }

    /**
     * Adds a record to the audit log of the namespace, which keeps the last 1,000 for a year: what was done, and by whom or
     * from where; the host's name is added as `node` if that is missing. Nothing is recorded by itself. Three round trips at most. What
     * is not UTF-8 is replaced.
     *
     * @param array<string, string> $details
     * @return bool false if the backend is away or refuses.
     */
    public function audit(string $action, array $details = []): bool
    {
    }

    /**
     * The records of the audit log, oldest first. On Redis a round trip, and one for each hundred records; none if the backend is away.
     *
     * @return list<array{time: float, action: string, details: array<string, string>}> The time in Unix seconds.
     */
    public function auditLog(): array
    {
    }

    /**
     * Waits for a named lock, which guards something outside of the cache. Acquiring is a sync point.
     *
     * It belongs to this request like one of a cache, see Cache::acquireLock(). After a server was restarted or replaced, or a
     * fallback took over, its holder may still work: for `lock_lease` seconds nobody new gets it, and who held it gets it back.
     * On Redis nobody waits for that where there never were any locks, and the server has run for so long; a directory that
     * is new counts as one that was lost.
     *
     * @param string|int $name At most 64 KiB.
     * @param string|int $owner Shown by `larder locks`; need not be unique.
     * @param float $wait Seconds at the most. Signal handlers (pcntl_async_signals) run meanwhile.
     * @return bool Whether it is held now; false = another has it, or the backend is away.
     * @throws GraceException if nobody new gets it before the wait ends.
     */
    public function acquireLock(string|int $name, string|int $owner, float $wait): bool
    {
    }

    /** Gives a named lock back; false if this request did not get it for this owner. */
    public function releaseLock(string|int $name, string|int $owner): bool
    {
    }

    /**
     * Whose a named lock is, asked now: true = this owner's, who got it in this request; false = another's, or the backend
     * is away; null = nobody's.
     */
    public function lockState(string|int $name, string|int $owner): ?bool
    {
    }

    /**
     * The locks that are held now; none if the backend is away. Some round trips, more with more locks.
     *
     * @return list<array{cache: string, key: string, owner: string, seconds: float, waiters: int}> The cache of a named lock
     *   is ''.
     */
    public function locks(): array
    {
    }

    /** Empties every cache of this namespace, on every node. */
    public function purge(): bool
    {
    }
}

/**
 * One cache of a store. No method throws because the backend is away: reads miss, writes return false. On
 * Redis a set that follows a miss in the same request is sent and not waited for: it returns true, and if it was lost the key is missing.
 *
 * Keys are any bytes, at most 64 KiB.
 */
final class Cache
{
    /**
     * The value of a key, or `$default`.
     *
     * A value that cannot be made any more (its class is gone, its `__wakeup()` throws) is none.
     *
     * In the seconds after the cache was purged, a key that another process of the node computes is waited for: 0.2 s at the most, 1 s in the
     * whole request. Signal handlers run meanwhile.
     */
    public function get(string|int $key, mixed $default = null): mixed
    {
    }

    /**
     * The values of those keys that have one. They are waited for together as by {@see get()}.
     *
     * @param array<string|int> $keys
     * @return array<string|int, mixed>
     */
    public function getMany(array $keys): array
    {
    }

    /**
     * Stores a value; false if the backend refused it or is away, as far as that is known at once (see above).
     *
     * @param int|null $ttl Seconds to live instead of the cache's; negative = expired at once, 0 = for ever.
     * @throws ValueException if the value cannot be serialized.
     */
    public function set(string|int $key, mixed $value, ?int $ttl = null): bool
    {
    }

    /**
     * Stores values, all or none; how many stand.
     *
     * @param array<string|int, mixed> $items
     * @throws ValueException if a value cannot be serialized.
     */
    public function setMany(array $items): int
    {
    }

    /** Removes a value; true if there was one and it is gone for good. */
    public function delete(string|int $key): bool
    {
    }

    /**
     * Removes values; how many there were.
     *
     * @param array<string|int> $keys
     */
    public function deleteMany(array $keys): int
    {
    }

    /** Whether `get()` would give a value. An object of a class that has hooks, or is not loaded, is made to know. */
    public function has(string|int $key): bool
    {
    }

    /** @param array<string|int> $keys */
    public function hasAny(array $keys): bool
    {
    }

    /** @param array<string|int> $keys */
    public function hasAll(array $keys): bool
    {
    }

    /** Removes all values; false if the backend is away or refused. */
    public function purge(): bool
    {
    }

    /**
     * The keys, or those that start with `$prefix`, in no order.
     *
     * @return list<string>
     */
    public function keys(?string $prefix = null): array
    {
    }
    /**
     * Waits for the lock on a key. Acquiring is a sync point: later reads see all that the holder before wrote.
     *
     * The lock guards entries of this cache, nothing else: after a server was restarted or replaced, or a fallback took over,
     * another may get it while its holder still works, whose writes are refused then. For effects outside of the cache take
     * Store::acquireLock().
     *
     * A lock belongs to this request: the same owner asking again waits like another, here and elsewhere. It is kept
     * for as long as the process lives, and given back and reported in PHP's log if the request ends without doing so.
     * While it is held, set() and setMany() of its key are refused (false, 0) once it was lost.
     *
     * @param string|int $owner Shown by `larder locks`; need not be unique.
     * @param float $wait Seconds at the most. Signal handlers (pcntl_async_signals) run meanwhile.
     * @return bool Whether it is held now.
     */
    public function acquireLock(string|int $key, string|int $owner, float $wait): bool
    {
    }

    /** Gives a lock back; false if this request did not get it for this owner. */
    public function releaseLock(string|int $key, string|int $owner): bool
    {
    }

    /**
     * Whose the lock on a key is, asked now: true = this owner's, who got it in this request; false = another's, or the
     * backend is away; null = nobody's.
     */
    public function lockState(string|int $key, string|int $owner): ?bool
    {
    }
}
