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

/**
 * The extension's cache for a session cache of Moodle, with what this session's caches held before it.
 *
 * Has those methods of \Larder\Cache that the store uses, and their meaning.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class cache {
    /** @var string What the keys begin with under which Moodle notes when a session last used the cache. */
    private const LAST_ACCESS = '__lastaccess__';

    /** @var int Seconds for which it is not noted again. Moodle only looks whether that is longer ago than a session lives. */
    private const NOTED = 300;

    /** @var \Larder\Cache */
    private $cache;

    /** @var string Its name. */
    private $name;

    /** @var memory */
    private $memory;

    /**
     * Puts memory before a cache.
     *
     * @param object $cache The extension's.
     * @param string $name Its name.
     * @param memory $memory
     */
    public function __construct(object $cache, string $name, memory $memory) {
        $this->cache = $cache;
        $this->name = $name;
        $this->memory = $memory;
    }

    /**
     * Reads a value.
     *
     * @param string $key
     * @param mixed $default
     * @return mixed
     */
    public function get(string $key, $default = null) {
        $found = $this->getMany([$key]);
        return $found ? reset($found) : $default;
    }

    // phpcs:disable moodle.NamingConventions.ValidFunctionName.LowercaseMethod
    /**
     * Reads values.
     *
     * @param array $keys
     * @return array Those that there are.
     */
    public function getMany(array $keys): array {
        $found = $unknown = [];
        foreach ($keys as $key) {
            $known = $this->memory->look($this->name, $key);
            if ($known === null) {
                $unknown[] = $key;
            } else if ($known) {
                $found[$key] = $known[0];
            }
        }
        foreach ($unknown ? $this->cache->getMany($unknown) : [] as $key => $value) {
            $found[$key] = $value;
            $this->memory->learn($this->name, $key, $value);
        }
        return $found;
    }

    /**
     * Writes a value.
     *
     * @param string $key
     * @param mixed $value
     * @return bool
     */
    public function set(string $key, $value): bool {
        return $this->setMany([$key => $value]) === 1;
    }

    /**
     * Writes values.
     *
     * @param array $items
     * @return int How many stand.
     */
    public function setMany(array $items): int {
        $writes = array_filter($items, fn($value, $key) => !$this->is_noted($key, $value), ARRAY_FILTER_USE_BOTH);
        $this->memory->forget($this->name, array_keys($writes));
        $count = $writes ? $this->cache->setMany($writes) : 0;
        if ($count === count($writes)) {
            foreach ($writes as $key => $value) {
                $this->memory->learn($this->name, $key, $value);
            }
        }
        return $count + count($items) - count($writes);
    }

    /**
     * Deletes a value.
     *
     * @param string $key
     * @return bool
     */
    public function delete(string $key): bool {
        $this->memory->forget($this->name, [$key]);
        return $this->cache->delete($key);
    }

    /**
     * Deletes values.
     *
     * @param array $keys
     * @return int
     */
    public function deleteMany(array $keys): int {
        $this->memory->forget($this->name, $keys);
        return $this->cache->deleteMany($keys);
    }

    /**
     * Whether there is a value.
     *
     * @param string $key
     * @return bool
     */
    public function has(string $key): bool {
        return $this->hasAll([$key]);
    }

    /**
     * Whether one of the keys has a value.
     *
     * @param array $keys
     * @return bool
     */
    public function hasAny(array $keys): bool {
        return $this->getMany($keys) !== [];
    }

    /**
     * Whether each of the keys has a value.
     *
     * @param array $keys
     * @return bool
     */
    public function hasAll(array $keys): bool {
        return count($this->getMany($keys)) === count(array_unique($keys));
    }

    /**
     * Deletes all values.
     *
     * @return bool
     */
    public function purge(): bool {
        $this->memory->forget($this->name);
        return $this->cache->purge();
    }

    /**
     * All keys, of all sessions. The server is asked.
     *
     * @param string|null $prefix
     * @return string[]
     */
    public function keys(?string $prefix = null): array {
        return $this->cache->keys($prefix);
    }

    /**
     * Waits for a lock.
     *
     * @param string $key
     * @param string $owner
     * @param float $wait
     * @return bool
     */
    public function acquireLock(string $key, string $owner, float $wait): bool {
        $got = $this->cache->acquireLock($key, $owner, $wait);
        $this->memory->forget($this->name);
        return $got;
    }

    /**
     * Gives a lock back.
     *
     * @param string $key
     * @param string $owner
     * @return bool
     */
    public function releaseLock(string $key, string $owner): bool {
        return $this->cache->releaseLock($key, $owner);
    }

    /**
     * Whose a lock is.
     *
     * @param string $key
     * @param string $owner
     * @return bool|null
     */
    public function lockState(string $key, string $owner): ?bool {
        return $this->cache->lockState($key, $owner);
    }
    // phpcs:enable

    /**
     * Whether this is the note of the last access, and one that is not much older stands.
     *
     * @param string $key
     * @param mixed $value
     * @return bool
     */
    private function is_noted(string $key, $value): bool {
        global $CFG;
        $known = $this->memory->look($this->name, $key);
        if (!str_starts_with($key, self::LAST_ACCESS)) {
            return false;
        }
        return (float)$value - (float)($known[0] ?? 0) < min(self::NOTED, ($CFG->sessiontimeout ?? 0) / 10);
    }
}
