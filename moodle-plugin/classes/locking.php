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

namespace cachestore_larder;

/**
 * Locks of the store: {@see \core_cache\lockable_cache_interface}.
 *
 * The extension does the work: it tells owners of the same name apart, keeps the leases of a living process, refuses
 * to write under a lock that was lost, and gives back what a request leaves locked however it ends.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
trait locking {
    /** @var float Seconds to wait for a lock. */
    protected $lockwait = 60.0;

    /** @var bool Whether the end of the request is to be told of forgotten locks. */
    private static $reporting = false;

    /** @var array[] The locks that this request holds, as [cache, key, owner]. */
    private static $held = [];

    /** @var string[] Owners of the locks that are held in name only, by key. */
    private $nominal = [];

    /**
     * Waits for a lock.
     *
     * While the server is away nobody can get one, and Moodle answers a lock that it does not get with an error page. So the
     * caller gets it in name only: nothing is cached then, and what is to be written under such a lock never is.
     *
     * @param string $key
     * @param string $ownerid Not unique: processes of one session share it.
     * @param float|null $timeout Seconds to wait at the most, null for what is configured.
     * @return bool Whether it is held now.
     */
    public function acquire_lock($key, $ownerid, $timeout = null) {
        $wait = (float)($timeout ?? $this->lockwait);
        $end = hrtime(true) + $wait * 1e9;
        $got = $this->guarded(fn() => $this->cache->acquireLock((string)$key, (string)$ownerid, $wait), null);
        if ($got === false && (hrtime(true) < $end || empty($this->health()['reachable']))) {
            $this->nominal[$key] = $ownerid;
            return true;
        }
        if ($got) {
            self::$held[$this->lock_id($key, $ownerid)] = [$this->cache, (string)$key, (string)$ownerid];
            if (!self::$reporting) {
                \core_shutdown_manager::register_function([self::class, 'report_forgotten_locks']);
                self::$reporting = true;
            }
        }
        return (bool)$got;
    }

    /**
     * Whose a lock is. The server is asked, unless the lock is one in name only.
     *
     * @param string $key
     * @param string $ownerid
     * @return bool|null True when this owner has it, false when another has, null when nobody has.
     */
    public function check_lock_state($key, $ownerid) {
        if (($this->nominal[$key] ?? null) === $ownerid) {
            return true;
        }
        return $this->guarded(fn() => $this->cache->lockState((string)$key, (string)$ownerid), false);
    }

    /**
     * Gives a lock back.
     *
     * @param string $key
     * @param string $ownerid
     * @return bool False when this owner did not get it.
     */
    public function release_lock($key, $ownerid) {
        if (($this->nominal[$key] ?? null) === $ownerid) {
            unset($this->nominal[$key]);
            return true;
        }
        unset(self::$held[$this->lock_id($key, $ownerid)]);
        return $this->guarded(fn() => $this->cache->releaseLock((string)$key, (string)$ownerid), false);
    }

    /**
     * Gives back what the request leaves locked, and tells the developer. Called when a request ends.
     *
     * The extension would do it a moment later, but can only write to PHP's log then.
     */
    public static function report_forgotten_locks(): void {
        foreach (self::$held as [$cache, $key, $ownerid]) {
            debugging("cachestore_larder: lock \"{$key}\" of \"{$ownerid}\" was not released", DEBUG_DEVELOPER);
            try {
                $cache->releaseLock($key, $ownerid);
            } catch (\Throwable $e) {
                debugging('cachestore_larder: ' . $e->getMessage());
            }
        }
        self::$held = [];
    }

    /**
     * What tells a held lock from all others of this request.
     *
     * @param string $key
     * @param string $ownerid
     * @return string
     */
    private function lock_id($key, $ownerid): string {
        return spl_object_id($this->cache) . ' ' . $ownerid . ' ' . $key;
    }
}
