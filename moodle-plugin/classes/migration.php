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

use core_cache\config_writer;
use core_cache\factory;
use core_cache\store;

/**
 * The way of a site's caches from the stores that they are mapped to now to a Larder instance, and back.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class migration {
    /** @var string[] What a definition gains that is in such a store now. */
    private const GAINS = [
        'file' => 'in files: each read opens one, and on a shared filesystem it asks the server several times',
        'redis' => 'in Redis: each read is a round trip, and the value is decoded anew',
        'apcu' => 'in APCu: each node has its own values, and cron has others; what one changes, the others do not see',
    ];

    /** @var string[] Modes of caches as in a forced configuration. */
    private const MODES = [store::MODE_APPLICATION => 'application', store::MODE_SESSION => 'session',
        store::MODE_REQUEST => 'request'];

    /** @var array[] Definitions by id, as Moodle describes them. */
    private $definitions;

    /** @var string[] The plugins of the stores, by their names. */
    private $plugins;

    /** @var array[] Names of the stores of each definition, by its id, the first asked first. */
    private $mapped;

    /** @var array[] Names of the stores of each mode. */
    private $modes;

    /** @var string Name of the Larder instance. */
    private $instance;

    /** @var bool Whether the configuration stands in config.php. */
    private $forced;

    /**
     * Reads a configuration.
     *
     * @param array[] $definitions
     * @param string[] $plugins
     * @param array[] $mapped
     * @param array[] $modes
     * @param string $instance
     * @param bool $forced
     */
    private function __construct(array $definitions, array $plugins, array $mapped, array $modes, string $instance, bool $forced) {
        $this->definitions = $definitions;
        $this->plugins = $plugins;
        $this->mapped = $mapped;
        $this->modes = $modes;
        $this->instance = $instance;
        $this->forced = $forced;
    }

    /**
     * The configuration of this site.
     *
     * @param string $instance Name of the Larder instance, which need not exist.
     * @return self
     */
    public static function of_site(string $instance): self {
        global $CFG;
        $definitions = \core_cache\config::instance()->get_definitions();
        $forced = $CFG->tool_forcedcache_config_array ?? null;
        if ($forced === null && !empty($CFG->tool_forcedcache_config_path)) {
            $forced = json_decode((string)file_get_contents($CFG->tool_forcedcache_config_path), true);
        }
        return $forced === null
            ? self::of_file(self::file(), $definitions, $instance)
            : self::of_forced($forced, $definitions, $instance);
    }

    /**
     * A configuration as Moodle keeps it in its file.
     *
     * @param array $file
     * @param array[] $definitions
     * @param string $instance
     * @return self
     */
    public static function of_file(#[\SensitiveParameter] array $file, array $definitions, string $instance): self {
        $plugins = array_column($file['stores'] ?? [], 'plugin', 'name');
        // Moodle asks those of the highest number first.
        $inorder = function (array $mappings): array {
            usort($mappings, fn($a, $b) => $b['sort'] <=> $a['sort']);
            return $mappings;
        };
        $modes = array_fill_keys(array_keys(self::MODES), []);
        foreach ($inorder($file['modemappings'] ?? []) as $mapping) {
            $modes[$mapping['mode']][] = $mapping['store'];
        }
        $mapped = [];
        foreach ($inorder($file['definitionmappings'] ?? []) as $mapping) {
            $mapped[$mapping['definition']][] = $mapping['store'];
        }
        return new self($definitions, $plugins, $mapped, $modes, $instance, false);
    }

    /**
     * A configuration as of tool_forcedcache.
     *
     * @param array $forced
     * @param array[] $definitions
     * @param string $instance
     * @return self
     */
    public static function of_forced(#[\SensitiveParameter] array $forced, array $definitions, string $instance): self {
        $defaults = ['default_application' => 'file', 'default_session' => 'session', 'default_request' => 'static'];
        $plugins = array_column($forced['stores'] ?? [], 'type');
        $plugins = array_combine(array_keys($forced['stores'] ?? []), $plugins) + $defaults;
        $modes = [];
        $mapped = [];
        foreach (self::MODES as $mode => $name) {
            $modes[$mode] = ["default_{$name}"];
            $rules = $forced['rules'][$name] ?? [];
            foreach ($definitions as $id => $definition) {
                if ((int)$definition['mode'] !== $mode) {
                    continue;
                }
                foreach ($rules as $rule) {
                    if (array_diff_assoc($rule['conditions'] ?? [], array_filter($definition, 'is_scalar')) === []) {
                        $mapped[$id] = $rule['stores'];
                        break;
                    }
                }
            }
        }
        return new self($definitions, $plugins, $mapped, $modes, $instance, true);
    }

    /**
     * Whether the configuration stands in config.php, where this class cannot change it.
     *
     * @return bool
     */
    public function is_forced(): bool {
        return $this->forced;
    }

    /**
     * Where each definition is now and where it should be.
     *
     * @return array[] By definition: names of stores "now" and "then", and the "reason".
     */
    public function proposal(): array {
        $proposal = [];
        foreach ($this->definitions as $id => $definition) {
            $now = $this->stores_of($id);
            [$moves, $reason] = $this->judge($definition, $now);
            $proposal[$id] = ['now' => $now, 'then' => $moves ? [$this->instance] : $now, 'reason' => $reason];
        }
        ksort($proposal);
        return $proposal;
    }

    /**
     * What is wrong with the configuration as it is, or would be lost by accident.
     *
     * @return string[]
     */
    public function warnings(): array {
        $warnings = [];
        foreach ($this->plugins as $name => $plugin) {
            if (!$this->is_installed($plugin)) {
                $warnings[] = "The store \"{$name}\" is of the plugin \"{$plugin}\", which is not installed: Moodle uses its "
                    . 'default store in its place. Delete it when nothing is mapped to it any more.';
            }
        }
        foreach (array_keys($this->definitions) as $id) {
            $stores = $this->stores_of($id);
            $before = $this->before_larder($stores);
            if ($before) {
                $warnings[] = "{$id}: " . implode(', ', $before) . ' stands before Larder and serves what other nodes have changed '
                    . 'since. Larder answers from memory by itself: map the definition to it alone.';
            }
        }
        return $warnings;
    }

    /**
     * Maps the definitions as proposed. What was mapped before is noted for {@see rollback()}.
     *
     * @param array $configuration Of the Larder instance, which is made if it does not exist.
     */
    public function apply(#[\SensitiveParameter] array $configuration): void {
        if ($this->forced) {
            throw new \coding_exception('the configuration of the caches stands in config.php');
        }
        $writer = config_writer::instance();
        $exists = array_key_exists($this->instance, $writer->get_all_stores());
        if (!$exists) {
            $writer->add_store_instance($this->instance, 'larder', $configuration + ['generation' => time()]);
        }
        if (get_config('cachestore_larder', 'migration') === false) {
            set_config('migration', json_encode([
                'instance' => $this->instance,
                'made' => !$exists,
                'modes' => $this->modes,
                'mapped' => $this->mapped,
            ]), 'cachestore_larder');
        }
        $proposal = $this->proposal();
        $modes = $this->modes;
        $modes[store::MODE_APPLICATION] = [$this->instance];
        self::map($modes, array_map(
            fn($id, $row) => $row['then'] === $modes[(int)$this->definitions[$id]['mode']] ? [] : $row['then'],
            array_keys($proposal),
            $proposal,
        ), array_keys($proposal));
    }

    /**
     * Maps the definitions as they were before the first {@see apply()}, and empties their caches.
     *
     * @return bool Whether there was something to go back to.
     */
    public static function rollback(): bool {
        $before = json_decode((string)get_config('cachestore_larder', 'migration'), true);
        if (!$before) {
            return false;
        }
        $ids = array_keys(\core_cache\config::instance()->get_definitions());
        self::map($before['modes'], array_map(fn($id) => $before['mapped'][$id] ?? [], $ids), $ids);
        // What is left in the old stores is from before.
        \cache_helper::purge_all();
        if ($before['made']) {
            config_writer::instance()->delete_store_instance($before['instance']);
        }
        unset_config('migration', 'cachestore_larder');
        return true;
    }

    /**
     * What a forced configuration would have to say.
     *
     * @param array $configuration Of the Larder instance.
     * @return string PHP code for config.php.
     */
    public function forced_code(#[\SensitiveParameter] array $configuration): string {
        $rules = [];
        foreach (self::MODES as $mode => $name) {
            $stores = [];
            foreach ($this->proposal() as $id => $row) {
                if ((int)$this->definitions[$id]['mode'] === $mode) {
                    $stores[implode(' ', $row['then'])] = $row['then'];
                }
            }
            $own = $mode === store::MODE_APPLICATION || isset($stores[$this->instance]);
            $rules[$name] = $own ? [['stores' => [$this->instance]]] : [];
        }
        return '$CFG->alternative_cache_factory_class = \'tool_forcedcache_cache_factory\';' . "\n"
            . '$CFG->tool_forcedcache_config_array = ' . var_export([
                'stores' => [$this->instance => ['type' => 'larder', 'config' => $configuration + ['generation' => 1]]],
                'rules' => $rules,
                'definitionoverrides' => [],
            ], true) . ";\n";
    }

    /**
     * Writes mappings.
     *
     * @param array[] $modes Names of stores by mode.
     * @param array[] $mapped Names of stores for each of the definitions, empty for those of its mode.
     * @param string[] $ids The definitions.
     */
    private static function map(array $modes, array $mapped, array $ids): void {
        $writer = config_writer::instance();
        // The plugin of a store that is left over may be gone.
        $known = fn(array $stores) => array_values(array_intersect($stores, array_keys($writer->get_all_stores())));
        $current = [];
        foreach ($writer->get_definition_mappings() as $mapping) {
            $current[$mapping['definition']][] = $mapping['store'];
        }
        foreach (array_combine($ids, $mapped) as $id => $stores) {
            if ($known($stores) !== ($current[$id] ?? [])) {
                $writer->set_definition_mappings($id, $known($stores));
            }
        }
        // Moodle numbers those of a mode upwards, and asks those of the highest number first.
        $writer->set_mode_mappings(array_map(fn($stores) => array_reverse($known($stores)), $modes));
        factory::reset();
    }

    /**
     * Whether a definition should move to Larder, and why.
     *
     * @param array $definition
     * @param string[] $now
     * @return array
     */
    private function judge(array $definition, array $now): array {
        global $CFG;
        $plugins = array_map(fn($name) => $this->plugins[$name] ?? '', $now);
        $first = $plugins[0] ?? '';
        if ((int)$definition['mode'] === store::MODE_REQUEST) {
            return [false, 'lives for one request, in its memory'];
        }
        if (!empty($definition['requiremultipleidentifiers'])) {
            return [false, 'needs multiple identifiers, which Larder does not have'];
        }
        if ($now === [$this->instance]) {
            return [false, 'is there already'];
        }
        if ($this->before_larder($now)) {
            return [true, "{$now[0]} stands before Larder and serves what other nodes have changed since"];
        }
        if ((int)$definition['mode'] === store::MODE_SESSION && $first === 'session') {
            return empty($CFG->enable_read_only_sessions)
                ? [false, 'in the session, and goes where that goes']
                : [true, 'read-only sessions must not have caches in the session'];
        }
        if (in_array('larder', $plugins)) {
            return [false, 'in another Larder instance'];
        }
        if ($first !== '' && !$this->is_installed($first)) {
            return [true, "in {$now[0]}, whose plugin \"{$first}\" is not installed: it is in the default store now"];
        }
        return [true, self::GAINS[$first] ?? "in a store of the plugin \"{$first}\""];
    }

    /**
     * The stores of a definition.
     *
     * @param string $id
     * @return string[]
     */
    private function stores_of(string $id): array {
        $definition = $this->definitions[$id];
        return $this->mapped[$id] ?? (empty($definition['mappingsonly']) ? $this->modes[(int)$definition['mode']] : []);
    }

    /**
     * Those stores of a definition that are asked before a Larder instance.
     *
     * @param string[] $stores
     * @return string[]
     */
    private function before_larder(array $stores): array {
        foreach ($stores as $at => $name) {
            if (($this->plugins[$name] ?? '') === 'larder') {
                return array_slice($stores, 0, $at);
            }
        }
        return [];
    }

    /**
     * Whether a store plugin is there.
     *
     * @param string $plugin
     * @return bool
     */
    private function is_installed(string $plugin): bool {
        return array_key_exists($plugin, \core_component::get_plugin_list('cachestore'));
    }

    /**
     * Moodle's configuration as it stands in its file, with what Moodle leaves out because it cannot use it.
     *
     * @return array
     */
    private static function file(): array {
        $reader = new class extends \core_cache\config {
            /**
             * The content of the file.
             *
             * @return array
             */
            public function content(): array {
                return $this->include_configuration();
            }
        };
        return $reader->content();
    }
}
