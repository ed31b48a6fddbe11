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

use core_cache\definition;
use core_cache\store;

/**
 * The extension's cache for an application cache of Moodle, with the store beside it that Moodle used before.
 *
 * Writes go to both, so that going back loses nothing. What is read is Larder's; the other store is asked, too, and
 * differences and times are counted. For a while after a migration: each read costs what it did before, and more.
 *
 * Has those methods of \Larder\Cache that the store uses, and their meaning.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class shadow {
    /** @var int Seconds that the counts are kept. */
    private const KEPT = 30 * 86400;

    /** @var array Counts of a definition that nothing was read of. */
    private const NONE = ['reads' => 0, 'other' => 0, 'missing' => 0, 'only' => 0, 'larder' => 0.0, 'old' => 0.0];

    /** @var array[] What this request counted, by definition. */
    private static $counts = [];

    /** @var \Larder\Cache */
    private $cache;

    /** @var store */
    private $old;

    /** @var string */
    private $definition;

    /**
     * Puts a store beside a cache.
     *
     * @param object $cache The extension's.
     * @param store $old
     * @param string $definition Its id.
     */
    public function __construct(object $cache, store $old, string $definition) {
        $this->cache = $cache;
        $this->old = $old;
        $this->definition = $definition;
    }

    /**
     * A cache with the store beside it that $CFG->cachestore_larder_shadow names.
     *
     * @param object $cache The extension's.
     * @param definition $definition
     * @param object $store The extension's, which keeps the counts.
     * @return object The cache alone if there is no such store, or it cannot expire values as Larder does.
     */
    public static function of(object $cache, definition $definition, object $store): object {
        global $CFG;
        if (empty($CFG->cachestore_larder_shadow)) {
            return $cache;
        }
        $name = $CFG->cachestore_larder_shadow;
        $details = \core_cache\config::instance()->get_all_stores()[$name] ?? null;
        if ($details === null || $details['plugin'] === 'larder' || $definition->get_mode() !== store::MODE_APPLICATION) {
            return $cache;
        }
        $old = \core_cache\factory::instance()->create_store_from_config($name, $details, $definition);
        if (!$old || ($definition->get_ttl() && !$old->supports_native_ttl())) {
            return $cache;
        }
        if (!self::$counts) {
            \core_shutdown_manager::register_function([self::class, 'save'], [$store]);
        }
        self::$counts[$definition->get_id()] ??= self::NONE;
        return new self($cache, $old, $definition->get_id());
    }

    /**
     * Adds what this request counted to what its process has counted. Two round trips.
     *
     * @param \Larder\Store $store
     */
    public static function save(\Larder\Store $store): void {
        $counts = array_filter(self::$counts, fn($count) => $count['reads'] > 0);
        if (!$counts) {
            return;
        }
        try {
            $process = php_uname('n') . ' ' . getmypid();
            self::totals($store)->set($process, self::sum([$counts, self::totals($store)->get($process, [])]));
        } catch (\Throwable $e) {
            debugging('cachestore_larder: ' . $e->getMessage());
        }
        self::$counts = [];
    }

    /**
     * What all processes have counted.
     *
     * @param \Larder\Store $store
     * @return array[] By definition: "reads", of them with an "other" value in the old store, "missing" in Larder, "only" in
     *     Larder, and the seconds that "larder" and the "old" store took.
     */
    public static function report(\Larder\Store $store): array {
        $report = self::sum(self::totals($store)->getMany(self::totals($store)->keys()));
        ksort($report);
        return $report;
    }

    /**
     * Counts of several requests or processes together.
     *
     * @param array[][] $all
     * @return array[] By definition.
     */
    private static function sum(array $all): array {
        $sum = [];
        foreach ($all as $counts) {
            foreach ($counts as $definition => $count) {
                foreach ($count as $name => $number) {
                    $sum[$definition][$name] = ($sum[$definition][$name] ?? 0) + $number;
                }
            }
        }
        return $sum;
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
        $count = &self::$counts[$this->definition];
        $count ??= self::NONE;
        $began = hrtime(true);
        $found = $this->cache->getMany($keys);
        $read = hrtime(true);
        // Moodle's stores answer false for what they do not have.
        $isvalue = fn($value) => $value !== false;
        $old = array_filter($this->old->get_many($keys), $isvalue);
        $new = array_filter($found, $isvalue);
        $count['larder'] += ($read - $began) / 1e9;
        $count['old'] += (hrtime(true) - $read) / 1e9;
        $count['reads'] += count($keys);
        $count['missing'] += count(array_diff_key($old, $new));
        $count['only'] += count(array_diff_key($new, $old));
        foreach (array_intersect_key($new, $old) as $key => $value) {
            $count['other'] += serialize($value) === serialize($old[$key]) ? 0 : 1;
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
        $this->old->set($key, $value);
        return $this->cache->set($key, $value);
    }

    /**
     * Writes values.
     *
     * @param array $items
     * @return int How many stand.
     */
    public function setMany(array $items): int {
        $this->old->set_many(array_map(fn($key) => ['key' => $key, 'value' => $items[$key]], array_keys($items)));
        return $this->cache->setMany($items);
    }

    /**
     * Deletes a value.
     *
     * @param string $key
     * @return bool
     */
    public function delete(string $key): bool {
        $this->old->delete($key);
        return $this->cache->delete($key);
    }

    /**
     * Deletes values.
     *
     * @param array $keys
     * @return int
     */
    public function deleteMany(array $keys): int {
        $this->old->delete_many($keys);
        return $this->cache->deleteMany($keys);
    }

    /**
     * Deletes all values.
     *
     * @return bool
     */
    public function purge(): bool {
        $this->old->purge();
        return $this->cache->purge();
    }

    /**
     * What asks or locks, but changes nothing, is Larder's.
     *
     * @param string $name
     * @param array $arguments
     * @return mixed
     */
    public function __call(string $name, array $arguments) {
        return $this->cache->$name(...$arguments);
    }
    // phpcs:enable

    /**
     * The counts of each process.
     *
     * @param \Larder\Store $store
     * @return \Larder\Cache
     */
    private static function totals(\Larder\Store $store): \Larder\Cache {
        return $store->cache('shadow/counts', ['near' => false, 'ttl' => self::KEPT]);
    }
}
