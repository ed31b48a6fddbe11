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

namespace cachestore_larder\lock;

use cachestore_larder\configuration;
use cachestore_larder\error_log;
use core\lock\lock;
use core\lock\lock_factory;

/**
 * Locks for all of Moodle: $CFG->lock_factory = '\cachestore_larder\lock\factory'.
 *
 * The server is that of $CFG->cachestore_larder_lock, an array as of the store's configuration; without it that of the first
 * Larder instance. All nodes must use the same one.
 *
 * They are named locks: what they guard lies outside of the cache. So after the server was restarted or replaced, or a fallback
 * took over, nobody new gets one for a lease.
 *
 * A lock lives as long as its process works, so the maximal lifetime that callers name is not needed. It is not
 * recursive.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class factory implements lock_factory {
    /** @var string What the locks are for; locks of different types are different. */
    protected $type;

    /** @var \Larder\Store|null */
    protected $store = null;

    /** @var string[] Names of the locks that are held, by the locks' keys. */
    protected $open = [];

    /**
     * Opens the extension's store. Does not connect and does not throw: see is_available().
     *
     * @param string $type
     */
    public function __construct($type) {
        $this->type = $type;
        try {
            $this->store = \Larder\Store::open(self::configuration());
        } catch (\Throwable $e) {
            error_log::log('locks cannot be used: ' . $e->getMessage());
        }
        \core_shutdown_manager::register_function([$this, 'auto_release']);
    }

    /**
     * Whether a wait ends.
     *
     * @return bool
     */
    public function supports_timeout() {
        return true;
    }

    /**
     * Whether locks are released when their process ends, however it ends.
     *
     * @return bool
     */
    public function supports_auto_release() {
        return true;
    }

    /**
     * Whether the extension is loaded and configured. The server is not asked.
     *
     * @return bool
     */
    public function is_available() {
        return $this->store !== null;
    }

    /**
     * Waits for a lock. In the grace after a loss of locks this ends at once, with a line in the log, unless the grace ends in
     * time.
     *
     * @param string $resource
     * @param int $timeout Seconds to wait at the most.
     * @param int $maxlifetime Not used.
     * @return lock|false
     */
    public function get_lock($resource, $timeout, $maxlifetime = 86400) {
        $owner = php_uname('n') . ' ' . getmypid() . ' ' . bin2hex(random_bytes(8));
        $name = $this->name($resource);
        try {
            if (!$this->store->acquireLock($name, $owner, max(0.0, (float)$timeout))) {
                return false;
            }
        } catch (\Throwable $e) {
            error_log::log($e->getMessage());
            return false;
        }
        $this->open[$owner] = $name;
        // The caller may read what the holder before wrote from another store of this process.
        configuration::sync_stores();
        return new lock($owner, $this);
    }

    /**
     * Releases a lock.
     *
     * @param lock $lock
     * @return bool Whether it was held.
     */
    public function release_lock(lock $lock) {
        $owner = $lock->get_key();
        if (!isset($this->open[$owner])) {
            return false;
        }
        $name = $this->open[$owner];
        unset($this->open[$owner]);
        return $this->store->releaseLock($name, $owner);
    }

    /**
     * Releases all locks. Called when the request ends; the extension does it too, should this not be called.
     */
    public function auto_release() {
        foreach ($this->open as $owner => $name) {
            $this->store->releaseLock($name, (string)$owner);
        }
        $this->open = [];
    }

    /**
     * The name of a lock: locks of different types do not meet.
     *
     * @param string $resource
     * @return string
     */
    private function name($resource): string {
        return $this->type . "\0" . $resource;
    }

    /**
     * The configuration of the extension's store.
     *
     * @return array
     */
    private static function configuration(): array {
        global $CFG;
        if (!empty($CFG->cachestore_larder_lock)) {
            $configuration = $CFG->cachestore_larder_lock;
        } else if ($instances = configuration::instances()) {
            $configuration = reset($instances)['configuration'];
            // Locks outlive a new generation of the store's entries.
            unset($configuration['generation']);
        } else {
            throw new \InvalidArgumentException('there is no Larder instance and no $CFG->cachestore_larder_lock');
        }
        return configuration::for_extension($configuration);
    }
}
