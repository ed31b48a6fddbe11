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
 * What the caches of one session held when this request first read one of them, for all session caches of a store.
 *
 * Two round trips bring it: one for the list of the keys that earlier requests of the session used, one for their values. It
 * is no older than values in the extension's memory may be: after a wait for the session's lock, and after max_staleness,
 * all is fetched again. Writes go to the server at once. The list is a hint: a key that it does not name costs a round trip.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class memory {
    /** @var int The most keys in the list of a session. */
    private const MOST = 100;

    /** @var int Seconds that a list lives which is not changed. */
    private const LIFETIME = 86400;

    /** @var self[] By configuration. */
    private static $all = [];

    /** @var \Larder\Store */
    private $store;

    /** @var float Seconds after which all is fetched again. */
    private $staleness;

    /** @var string The session that all this is about; empty before the first. */
    private $session = '';

    /** @var float|null When this request got the lock of its session. */
    private $gained = null;

    /** @var float When it was fetched, in seconds. */
    private $fetched = 0.0;

    /** @var array[][] By cache and key: a list with the value, an empty one if there is none. */
    private $known = [];

    /** @var bool[][] The list that was fetched, by cache and key. */
    private $list = [];

    /** @var bool[][] What this request used, by cache and key. */
    private $used = [];

    /**
     * Knows nothing yet.
     *
     * @param \Larder\Store $store
     * @param float $staleness
     */
    private function __construct(\Larder\Store $store, float $staleness) {
        $this->store = $store;
        $this->staleness = $staleness;
    }

    /**
     * The one of a store.
     *
     * @param \Larder\Store $store
     * @param array $configuration The one that the store was opened with.
     * @return self
     */
    public static function of(\Larder\Store $store, #[\SensitiveParameter] array $configuration): self {
        $id = md5(serialize($configuration));
        return self::$all[$id] ??= new self($store, (float)($configuration['max_staleness'] ?? 1));
    }

    /**
     * What is known of a key. Up to two round trips, most often none.
     *
     * @param string $cache
     * @param string $key
     * @return array|null A list with the value, an empty one if there is none; null if nothing is known.
     */
    public function look(string $cache, string $key): ?array {
        if (!$this->is_current($key)) {
            return null;
        }
        $this->used[$cache][$key] = true;
        $known = $this->known[$cache][$key] ?? null;
        // Who changes an object that it got must not change what is got next. And who asks again for what was missing
        // may have waited for somebody else to store it.
        if ($known !== null && !is_scalar($known[0] ?? null)) {
            unset($this->known[$cache][$key]);
        }
        return $known;
    }

    /**
     * A value was read or written.
     *
     * @param string $cache
     * @param string $key
     * @param mixed $value
     */
    public function learn(string $cache, string $key, $value): void {
        if (is_scalar($value) && isset($this->used[$cache][$key])) {
            $this->known[$cache][$key] = [$value];
        }
    }

    /**
     * Values are not what they were.
     *
     * @param string $cache
     * @param string[]|null $keys Null for all.
     */
    public function forget(string $cache, ?array $keys = null): void {
        if ($keys === null) {
            unset($this->known[$cache]);
            return;
        }
        foreach ($keys as $key) {
            unset($this->known[$cache][$key]);
        }
    }

    /**
     * Keeps the list of keys for the session's next request, if this one used others. A round trip, or none.
     */
    public function save(): void {
        $list = $this->used;
        foreach ($this->list as $cache => $keys) {
            $list[$cache] = ($list[$cache] ?? []) + $keys;
        }
        $count = fn(array $caches): int => array_sum(array_map('count', $caches));
        if ($this->session === '' || $count($list) === $count($this->list)) {
            return;
        }
        if ($count($list) > self::MOST) {
            // Those that only other requests used go first.
            $list = $this->used;
        }
        try {
            if ($count($list) <= self::MOST) {
                $this->lists()->set($this->session, array_map('array_keys', $list));
            }
        } catch (\Throwable $e) {
            debugging('cachestore_larder: ' . $e->getMessage());
        }
        $this->list = $list;
    }

    /**
     * Whether a key is one of this session, about which all is known that can be. Fetches it if that is due.
     *
     * @param string $key
     * @return bool
     */
    private function is_current(string $key): bool {
        global $PERF;
        // As Moodle makes keys of it.
        $session = preg_replace('#[^a-zA-Z0-9_]#', '_', (string)session_id());
        if ($session === '' || !str_contains($key, "_{$session}")) {
            return false;
        }
        $now = hrtime(true) / 1e9;
        $gained = $PERF->sessionlock['gained'] ?? null;
        if ($this->session === '') {
            \core_shutdown_manager::register_function([$this, 'save']);
        }
        if ($session !== $this->session) {
            $this->save();
            $this->used = [];
            $keys = $this->lists()->get($session, []);
            $this->list = array_map(fn($keys) => array_fill_keys($keys, true), $keys);
        } else if ($now - $this->fetched < $this->staleness && $gained === $this->gained) {
            return true;
        }
        [$this->session, $this->gained, $this->fetched, $this->known] = [$session, $gained, $now, []];
        $wanted = array_map('array_keys', $this->list);
        foreach ($wanted ? $this->store->getMany($wanted) : [] as $cache => $found) {
            foreach ($wanted[$cache] as $key) {
                $this->known[$cache][$key] = array_key_exists($key, $found) ? [$found[$key]] : [];
            }
        }
        return true;
    }

    /**
     * The lists of keys, by session.
     *
     * @return \Larder\Cache
     */
    private function lists(): \Larder\Cache {
        return $this->store->cache('session/keys', ['near' => false, 'ttl' => self::LIFETIME]);
    }
}
