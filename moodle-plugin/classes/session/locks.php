<?php
// This file is part of Moodle - http://moodle.org/
//
// Moodle is free software: you can redistribute it and/or modify
// it under the terms of the GNU General Public License as published by
// the Free Software Foundation, either version 3 of the License, or
// (at your option) any later version.
//
// Moodle is distributed in the hope that it will be useful,
// but WITHOUT ANY WARRANTY; without even the implied warranty of
// MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE.  See the
// GNU General Public License for more details.
//
// You should have received a copy of the GNU General Public License
// along with Moodle.  If not, see <http://www.gnu.org/licenses/>.

namespace cachestore_larder\session;

use cachestore_larder\configuration;
use cachestore_larder\error_log;
use core\session\exception;

/**
 * The locks of sessions that this request holds, and how it waits for them.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class locks {
    /** @var int Seconds to wait for a lock at the most. */
    private $timeout;

    /** @var int Seconds of a wait that is logged; 0 = none. */
    private $warning;

    /** @var int How many requests may wait for one session; 0 = any number. */
    private $maxwaiters;

    /** @var server */
    private $server;

    /** @var string[] Owners of the locks that are held, by session id. */
    private $held = [];

    /**
     * Reads the settings, see {@see handler}.
     *
     * @param server $server
     */
    public function __construct(server $server) {
        global $CFG;
        $this->server = $server;
        $this->timeout = (int)($CFG->session_larder_acquire_lock_timeout ?? 120);
        $this->warning = (int)($CFG->session_larder_acquire_lock_warn ?? 0);
        $this->maxwaiters = (int)($CFG->session_larder_max_waiters ?? 0);
    }

    /**
     * Whether this request holds the lock of a session.
     *
     * @param string $id
     * @return bool
     */
    public function has(string $id): bool {
        return isset($this->held[$id]);
    }

    /**
     * Waits until this request alone may write to a session.
     *
     * @param string $id
     * @throws exception Moodle's own when too many wait, or it takes too long, or the server is away.
     */
    public function take(string $id): void {
        if (isset($this->held[$id])) {
            return;
        }
        $key = self::key($id);
        $owner = $this->owner();
        if (!$this->server->cache()->acquireLock($key, $owner, 0)) {
            $place = $this->place($id, $owner);
            try {
                $this->wait($id, $owner);
            } finally {
                if ($place !== null) {
                    $this->server->cache()->releaseLock($place, $owner);
                }
            }
            // The request that had the session may have changed what this one has read of the caches.
            configuration::sync_stores();
        }
        $this->held[$id] = $owner;
    }

    /**
     * Releases the lock of a session, if this request has it.
     *
     * @param string $id
     */
    public function release(string $id): void {
        if (isset($this->held[$id])) {
            $this->server->cache()->releaseLock(self::key($id), $this->held[$id]);
            unset($this->held[$id]);
        }
    }

    /**
     * Releases all locks.
     */
    public function release_all(): void {
        foreach (array_keys($this->held) as $id) {
            $this->release((string)$id);
        }
    }

    /**
     * Runs something with the lock of a session, if nobody holds it.
     *
     * @param string $id
     * @param \Closure $run
     */
    public function with(string $id, \Closure $run): void {
        $owner = $this->owner();
        if ($this->server->cache()->acquireLock(self::key($id), $owner, 0)) {
            $run();
            $this->server->cache()->releaseLock(self::key($id), $owner);
        }
    }

    /**
     * The key of a session's lock, which is that of its data, too: so the data is written under the lock only.
     *
     * @param string $id
     * @return string
     */
    public static function key(string $id): string {
        return "data {$id}";
    }

    /**
     * The first characters of a session's id. All of it is as good as a password.
     *
     * @param string $id
     * @return string
     */
    public static function short(string $id): string {
        return substr($id, 0, 6) . '...';
    }

    /**
     * Waits for the lock of a session.
     *
     * @param string $id
     * @param string $owner
     */
    private function wait(string $id, string $owner): void {
        $began = hrtime(true);
        $got = $this->server->cache()->acquireLock(self::key($id), $owner, $this->timeout);
        $waited = (hrtime(true) - $began) / 1e9;
        if ($got) {
            if ($this->warning && $waited > $this->warning) {
                error_log::log(sprintf('waited %.1f s for the session %s', $waited, self::short($id)));
            }
            return;
        }
        if ($waited < $this->timeout) {
            $this->server->fail();
        }
        $owners = array_column($this->server->store()->locks(), 'owner', 'key');
        $holder = $owners[self::key($id)] ?? '?';
        error_log::log('the session ' . self::short($id) . " was locked for {$this->timeout} s, now by {$holder}");
        throw new exception('sessioncannotobtainlock', 'error', '', (object)[
            'id' => substr($id, 0, 10),
            'acquiretimeout' => format_time($this->timeout),
            'whohaslock' => $holder,
            // So long a lock stays that is not given back because its process has died.
            'lockexpire' => format_time((int)(server::configuration()['lock_lease'] ?? 10)),
        ]);
    }

    /**
     * Takes one of the places for requests that wait for a session. A place is a lock of its own, so it becomes free with
     * the process.
     *
     * @param string $id
     * @param string $owner
     * @return string|null Its key; null if their number has no bound.
     * @throws exception When all are taken.
     */
    private function place(string $id, string $owner): ?string {
        if (!$this->maxwaiters) {
            return null;
        }
        $first = random_int(0, $this->maxwaiters - 1);
        for ($i = 0; $i < $this->maxwaiters; $i++) {
            $key = "place {$id} " . ($first + $i) % $this->maxwaiters;
            if ($this->server->cache()->acquireLock($key, $owner, 0)) {
                return $key;
            }
        }
        if ($this->server->store()->reach() !== null) {
            $this->server->fail();
        }
        error_log::log("more than {$this->maxwaiters} requests wait for the session " . self::short($id));
        throw new exception('sessionwaiterr', 'error');
    }

    /**
     * What `larder locks` shows of this request: node, process and script, but none of its parameters, which may be secret.
     *
     * @return string
     */
    private function owner(): string {
        $script = strtok((string)($_SERVER['REQUEST_URI'] ?? $_SERVER['SCRIPT_NAME'] ?? ''), '?');
        return php_uname('n') . ' ' . getmypid() . ' ' . substr((string)$script, 0, 200);
    }
}
