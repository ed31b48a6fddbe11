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

/**
 * The Larder cache store: Moodle's side of the PHP extension "larder".
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

use cachestore_larder\audit;
use cachestore_larder\configuration;
use cachestore_larder\error_log;
use cachestore_larder\request_cost;
use cachestore_larder\session;
use cachestore_larder\session\memory;
use cachestore_larder\shadow;
use core_cache\configurable_cache_interface;
use core_cache\definition;
use core_cache\key_aware_cache_interface;
use core_cache\lockable_cache_interface;
use core_cache\searchable_cache_interface;
use core_cache\store;

/**
 * Cache store that keeps its entries in Larder.
 *
 * Connections, encoding, expiry and what to do in an outage are the extension's business. This class translates
 * between its interface and Moodle's, and sees to it that no exception reaches a page.
 *
 * Moodle may construct it before the database and the configuration are available, so neither the constructor nor
 * initialise() may ask for settings, strings or the site identifier.
 *
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class cachestore_larder extends store implements
    configurable_cache_interface,
    key_aware_cache_interface,
    lockable_cache_interface,
    searchable_cache_interface {
    use \cachestore_larder\locking;
    use \cachestore_larder\testing;

    /** @var int Seconds that entries of ad-hoc caches live, because nothing in Moodle ever purges those. */
    public const ADHOC_TTL = 86400;

    /** @var string Name of this instance. */
    protected $name;

    /** @var \Larder\Store|null The extension's store, null when it could not be opened. */
    protected $store = null;

    /** @var \Larder\Cache|session\cache|shadow|null The extension's cache for the definition, null until initialise(). */
    protected $cache = null;

    /** @var bool Whether another directory serves while the server is away. */
    protected $hasfallback = false;

    /** @var string The definition that initialise() was called with, as people read it. */
    protected $definition = '';

    /** @var int[] Bytes exchanged with the server when that was last asked for, by the instance's name. */
    private static $bytes = [];
    /** @var memory|null What session caches know, null when the store could not be opened. */
    protected $memory = null;

    /** @var string Why the store could not be opened, in English; empty when it could. */
    protected $problem = '';

    /**
     * Opens the extension's store. Does not connect and does not throw.
     *
     * @param string $name Name of the instance.
     * @param array $configuration The stored configuration, see {@see configuration::for_extension()}.
     */
    public function __construct($name, #[\SensitiveParameter] array $configuration = []) {
        $this->name = $name;
        try {
            if (!self::are_requirements_met()) {
                throw new \RuntimeException('the PHP extension "larder" is not loaded');
            }
            $configuration = configuration::for_extension($configuration);
            $this->lockwait = (float)($configuration['lock_wait'] ?? $this->lockwait);
            $this->hasfallback = isset($configuration['fallback']);
            $this->store = \Larder\Store::open($configuration);
            $this->memory = memory::of($this->store, $configuration);
            error_log::follow($name, $this->store);
            request_cost::follow($name, $this->store);
        } catch (\Throwable $e) {
            // Moodle now uses this node's file store instead, apart from all other nodes. That must not go unseen.
            $this->problem = $e->getMessage();
            error_log::log("store \"{$name}\" cannot be used: {$this->problem}");
        }
    }

    /**
     * Whether the extension is loaded.
     *
     * @return bool
     */
    public static function are_requirements_met() {
        return class_exists(\Larder\Store::class, false);
    }

    /**
     * Whether caches of a mode can be kept here.
     *
     * @param int $mode One of store::MODE_*.
     * @return bool
     */
    public static function is_supported_mode($mode) {
        return $mode === self::MODE_APPLICATION || $mode === self::MODE_SESSION;
    }

    /**
     * The modes that are supported, as flags.
     *
     * @param array $configuration Not used.
     * @return int
     */
    public static function get_supported_modes(array $configuration = []) {
        return self::MODE_APPLICATION + self::MODE_SESSION;
    }

    /**
     * The features that are supported, as flags.
     *
     * Moodle keeps a copy of them with each instance, so a change here needs an upgrade step.
     *
     * @param array $configuration Not used.
     * @return int
     */
    public static function get_supported_features(array $configuration = []) {
        return self::SUPPORTS_DATA_GUARANTEE + self::SUPPORTS_NATIVE_TTL + self::IS_SEARCHABLE + self::DEREFERENCES_OBJECTS;
    }

    /**
     * Name of this instance.
     *
     * @return string
     */
    public function my_name() {
        return $this->name;
    }

    /**
     * Binds this object to a definition. Does not connect.
     *
     * @param definition $definition
     */
    public function initialise(definition $definition) {
        if ($this->store === null) {
            return;
        }
        $id = $definition->get_id();
        $options = [];
        $ttl = (int)$definition->get_ttl();
        if ($ttl === 0 && str_starts_with($id, 'adhoc/')) {
            $ttl = self::ADHOC_TTL;
        }
        if ($ttl !== 0) {
            $options['ttl'] = $ttl;
        }
        if ($definition->get_mode() === self::MODE_SESSION) {
            // Every request writes to its session caches, which no other process reads: they would only fill the
            // change log and the memory.
            $options['near'] = false;
        } else if ($definition->require_data_guarantee()) {
            $options['durable'] = true;
        }
        // The hash names the definition, what stands before it is for people who look at statistics. Ad-hoc definitions
        // have ids of any length with any characters.
        $this->definition = substr(preg_replace('~[^a-zA-Z0-9_/.-]~', '_', $id), 0, 100);
        $cache = $this->definition . '@' . substr($definition->generate_definition_hash(), 0, 12);
        $this->cache = $this->store->cache($cache, $options);
        if ($definition->get_mode() === self::MODE_SESSION) {
            $this->cache = new session\cache($this->cache, $cache, $this->memory);
        } else {
            $this->cache = shadow::of($this->cache, $definition, $this->store);
        }
    }

    /**
     * Whether initialise() has bound this object to a definition.
     *
     * @return bool
     */
    public function is_initialised() {
        return $this->cache !== null;
    }

    /**
     * Whether this instance can be used.
     *
     * True through any outage of the server: if it were false, Moodle would use this node's file store meanwhile, and
     * the values that the server still holds would come back old.
     *
     * @return bool False when the extension is missing or refuses the configuration.
     */
    public function is_ready() {
        return $this->store !== null;
    }

    /**
     * What the administrator should be told about this instance.
     *
     * @return string[] HTML.
     */
    public function get_warnings() {
        if ($this->store !== null) {
            return [];
        }
        $details = ['name' => s($this->name), 'problem' => s($this->problem)];
        return [get_string('notready', 'cachestore_larder', $details)];
    }

    /**
     * The state of the server and what stands behind it, asked now.
     *
     * @return array|null As the extension's Store::health(), or null when the store could not be opened.
     */
    public function health(): ?array {
        return $this->store?->health();
    }

    /**
     * The state of the server, as {@see health()}, and what is wrong with it and what to do. A server that does not answer is
     * waited for once.
     *
     * @return array|null With "error" and "advice", in English, if the server does not answer.
     */
    public function diagnosis(): ?array {
        $wrong = $this->store?->reach();
        if ($wrong === null || $this->hasfallback) {
            $health = $this->health();
            return $health === null ? null : $health + (array)$wrong;
        }
        return ['reachable' => false, 'tier' => 'none', 'reason' => $wrong['error']] + $wrong;
    }

    /**
     * What the nodes did with this instance.
     *
     * @return array[] As the extension's Store::statistics(); empty when the store could not be opened, or PHP still runs the
     *     extension of an earlier release, which has none.
     */
    public function statistics(): array {
        return $this->store && method_exists($this->store, 'statistics') ? $this->store->statistics() : [];
    }

    /**
     * What was exchanged with the server since this was asked before, which Moodle does after each call when it shows its
     * performance information.
     *
     * @return int Bytes on the network, 0 for what comes from memory.
     */
    public function get_last_io_bytes(): int {
        $stats = $this->store->stats();
        $bytes = ($stats['bytes_sent'] ?? 0) + ($stats['bytes_received'] ?? 0);
        if ($bytes === 0) {
            return self::IO_BYTES_NOT_SUPPORTED;
        }
        $before = self::$bytes[$this->name] ?? $bytes;
        self::$bytes[$this->name] = $bytes;
        return $bytes - $before;
    }

    /**
     * What the server or the directory holds, of all its users.
     *
     * @return int|null Bytes.
     */
    public function store_total_size(): ?int {
        $facts = $this->health()['facts'] ?? [];
        // Of Redis, a local and a shared directory.
        return $facts['used_memory'] ?? $facts['file_bytes'] ?? $facts['bytes'] ?? null;
    }

    /**
     * Who purged this instance.
     *
     * @return array[] As the extension's Store::auditLog(); empty when the store could not be opened.
     */
    public function audit_log(): array {
        return $this->store?->auditLog() ?? [];
    }

    /**
     * Reads a value.
     *
     * @param string|int $key
     * @return mixed The value, or false when there is none.
     */
    public function get($key) {
        try {
            return $this->cache->get((string)$key, false);
        } catch (\Throwable $e) {
            return $this->failed($e, false);
        }
    }

    /**
     * Reads several values at once.
     *
     * @param array $keys
     * @return array Every key asked for, in that order, with its value or false.
     */
    public function get_many($keys) {
        $result = array_fill_keys($keys, false);
        try {
            return array_replace($result, $this->cache->getMany($keys));
        } catch (\Throwable $e) {
            return $this->failed($e, $result);
        }
    }

    /**
     * Writes a value. A value that cannot be stored takes the one before it away, so that no old value stays.
     *
     * @param string|int $key
     * @param mixed $data
     * @return bool Whether it is stored.
     */
    public function set($key, $data) {
        try {
            if (isset($this->nominal[$key])) {
                $this->delete($key);
                return false;
            }
            return $this->cache->set((string)$key, $data);
        } catch (\Throwable $e) {
            $this->delete($key);
            return $this->failed($e, false);
        }
    }

    /**
     * Writes several values at once.
     *
     * @param array $keyvaluearray Arrays with the elements "key" and "value".
     * @return int How many are stored.
     */
    public function set_many(array $keyvaluearray) {
        $items = array_column($keyvaluearray, 'value', 'key');
        try {
            $count = array_intersect_key($items, $this->nominal) ? null : $this->cache->setMany($items);
        } catch (\Throwable) {
            // One of them cannot be stored, which is no reason to lose the others.
            $count = null;
        }
        return $count ?? array_sum(array_map(fn($key) => (int)$this->set($key, $items[$key]), array_keys($items)));
    }

    /**
     * Deletes a value.
     *
     * @param string|int $key
     * @return bool Whether there was one and it is deleted for every node.
     */
    public function delete($key) {
        return $this->guarded(fn() => $this->cache->delete((string)$key), false);
    }

    /**
     * Deletes several values at once.
     *
     * @param array $keys
     * @return int How many there were that are deleted for every node.
     */
    public function delete_many(array $keys) {
        return $this->guarded(fn() => $this->cache->deleteMany($keys), 0);
    }

    /**
     * Deletes every value of the definition.
     *
     * @return bool Whether they are deleted for every node.
     */
    public function purge() {
        $purged = $this->guarded(fn() => $this->cache->purge(), false);
        if ($this->store !== null) {
            audit::purged($this->name, $this->store, $this->definition);
        }
        return $purged;
    }

    /**
     * Whether there is a value.
     *
     * @param string|int $key
     * @return bool
     */
    public function has($key) {
        return $this->guarded(fn() => $this->cache->has((string)$key), false);
    }

    /**
     * Whether there is a value for at least one of the keys.
     *
     * @param array $keys
     * @return bool
     */
    public function has_any(array $keys) {
        return $this->guarded(fn() => $this->cache->hasAny($keys), false);
    }

    /**
     * Whether there is a value for each of the keys.
     *
     * @param array $keys
     * @return bool
     */
    public function has_all(array $keys) {
        return $this->guarded(fn() => $this->cache->hasAll($keys), false);
    }

    /**
     * All keys of the definition.
     *
     * @return string[]
     */
    public function find_all() {
        return $this->guarded(fn() => $this->cache->keys(), []);
    }

    /**
     * All keys of the definition that start with a prefix.
     *
     * @param string $prefix
     * @return string[]
     */
    public function find_by_prefix($prefix) {
        return $this->guarded(fn() => $this->cache->keys((string)$prefix), []);
    }

    /**
     * Empties a new instance: the server may hold what an instance of the same configuration left there.
     */
    public function instance_created() {
        $this->purge_definitions();
    }

    /**
     * Empties the instance that is about to be deleted.
     *
     * Moodle's performance test calls this on an instance that is bound to a definition, and that one owns no more
     * than this definition's cache.
     */
    public function instance_deleted() {
        if ($this->is_initialised()) {
            $this->purge();
        } else {
            $this->purge_definitions();
        }
    }

    /**
     * The configuration to keep for what was entered in the form.
     *
     * @param stdClass $data
     * @return array
     */
    public static function config_get_configuration_array(#[\SensitiveParameter] $data) {
        return configuration::from_form($data);
    }

    /**
     * Fills the form from a configuration.
     *
     * @param moodleform $editform
     * @param array $config
     */
    public static function config_set_edit_form_data(moodleform $editform, #[\SensitiveParameter] array $config) {
        $editform->set_data(configuration::for_form($config));
    }

    /**
     * Purges the cache of every definition that Moodle knows, until one purge fails.
     */
    protected function purge_definitions(): void {
        if ($this->store === null) {
            return;
        }
        foreach (\core_cache\config::instance()->get_definitions() as $id => $details) {
            if (!self::is_supported_mode($details['mode'])) {
                continue;
            }
            $bound = clone $this;
            $bound->initialise(definition::load($id, $details));
            if (!$bound->purge()) {
                return;
            }
        }
    }

    /**
     * Runs an operation that must not fail the page.
     *
     * @param \Closure $operation
     * @param mixed $result What to return when it throws.
     * @return mixed
     */
    protected function guarded(\Closure $operation, $result) {
        try {
            return $operation();
        } catch (\Throwable $e) {
            return $this->failed($e, $result);
        }
    }

    /**
     * Tells the developer about a failure that the page must not notice.
     *
     * @param \Throwable $e
     * @param mixed $result What the failed method is to return.
     * @return mixed That result.
     */
    protected function failed(\Throwable $e, $result) {
        debugging('cachestore_larder: ' . get_class($e) . ': ' . $e->getMessage());
        return $result;
    }
}

/**
 * The checks that the plugin adds to Moodle's status report.
 *
 * @return \core\check\check[]
 */
function cachestore_larder_status_checks(): array {
    return [
        new \cachestore_larder\check\requirements(),
        new \cachestore_larder\check\backend(),
        new \cachestore_larder\check\sessions(),
        new \cachestore_larder\check\directories(),
    ];
}

/**
 * The figures of the report, which its page asks for again and again.
 *
 * @param array $args With "instance", "period" and "node".
 * @return string HTML.
 */
function cachestore_larder_output_fragment_report(array $args): string {
    global $OUTPUT;
    require_capability('moodle/site:config', \core\context\system::instance());
    $page = new \cachestore_larder\report\page($args, time());
    return $OUTPUT->render_from_template('cachestore_larder/report', $page->export_for_template($OUTPUT));
}
