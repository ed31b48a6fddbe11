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

namespace cachestore_larder\forced;

use cachestore_larder\error_log;
use core_cache\store;

/**
 * The part of Moodle's cache configuration that stands in config.php, as $CFG->larder.
 *
 * The array has the shape that the plugin tool_forcedcache takes. Stores of any plugin can be in it; whatever it does not say is as
 * Moodle keeps it.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class configuration {
    /** @var int[] The modes that rules can be for. */
    private const MODES = [
        'application' => store::MODE_APPLICATION,
        'session' => store::MODE_SESSION,
        'request' => store::MODE_REQUEST,
    ];

    /** @var string[] The stores that Moodle has by itself. */
    private const DEFAULTS = ['default_application', 'default_session', 'default_request'];

    /**
     * What is wrong with the array. One that is wrong is not used at all.
     *
     * @return string In English; empty when it is right, or there is none.
     */
    public static function problem(): string {
        global $CFG;
        $forced = $CFG->larder ?? [];
        if ($forced && ltrim($CFG->alternative_cache_factory_class ?? '', '\\') !== factory::class) {
            return '$CFG->larder needs $CFG->alternative_cache_factory_class = \'' . factory::class . "'";
        }
        $names = ['stores', 'rules', 'definitionoverrides'];
        if (!is_array($forced) || array_diff(array_keys($forced), $names)) {
            return '$CFG->larder must be an array of ' . implode(', ', $names);
        }
        foreach ($names as $name) {
            if (!is_array($forced[$name] ?? [])) {
                return "\$CFG->larder: {$name} is no array";
            }
        }
        foreach ($forced['stores'] ?? [] as $name => $details) {
            $type = $details['type'] ?? null;
            if (!is_string($type) || !is_array($details['config'] ?? null)) {
                return "\$CFG->larder: store \"{$name}\" needs a type and a config";
            }
            if (!is_file(self::library($type))) {
                return "\$CFG->larder: store \"{$name}\": there is no cache store plugin \"{$type}\"";
            }
        }
        $known = array_merge(array_keys($forced['stores'] ?? []), self::DEFAULTS);
        foreach ($forced['rules'] ?? [] as $mode => $rules) {
            if (!isset(self::MODES[$mode]) || !is_array($rules)) {
                return "\$CFG->larder: rules are for application, session and request, not for \"{$mode}\"";
            }
            foreach ($rules as $rule) {
                $stores = $rule['stores'] ?? null;
                if (!is_array($stores) || !$stores || array_diff($stores, $known)) {
                    return "\$CFG->larder: each rule for {$mode} needs stores, of " . implode(', ', $known);
                }
            }
        }
        return '';
    }

    /**
     * The stores, as Moodle describes them.
     *
     * @return array[] By name.
     */
    public static function stores(): array {
        $stores = [];
        foreach (self::section('stores') as $name => ['type' => $type, 'config' => $config]) {
            $class = "cachestore_{$type}";
            require_once(self::library($type));
            $stores[$name] = [
                'name' => (string)$name,
                'plugin' => $type,
                'configuration' => $config,
                'features' => $class::get_supported_features($config),
                'modes' => $class::get_supported_modes($config),
                'default' => false,
            ];
        }
        return $stores;
    }

    /**
     * Whether the array says which stores the caches of a mode use.
     *
     * @param int $mode One of store::MODE_*.
     * @return bool
     */
    public static function maps(int $mode): bool {
        return !empty(self::section('rules')[array_search($mode, self::MODES)]);
    }

    /**
     * Moodle's configuration with the stores and mappings of config.php.
     *
     * @param array $kept As Moodle keeps it.
     * @return array
     */
    public static function merge(array $kept): array {
        $problem = self::problem();
        if ($problem !== '') {
            error_log::log($problem);
            return $kept;
        }
        $merged = $kept;
        $merged['stores'] = self::stores() + $kept['stores'];
        foreach (array_filter(self::section('rules')) as $name => $rules) {
            $mode = self::MODES[$name];
            $default = self::first($rules, []);
            if ($default) {
                $merged['modemappings'] = array_filter($merged['modemappings'], fn($mapping) => (int)$mapping['mode'] !== $mode);
                array_push($merged['modemappings'], ...self::rows(['mode' => $mode], $default));
            }
            $definitions = array_filter($kept['definitions'], fn($definition) => (int)$definition['mode'] === $mode);
            $mappings = array_filter($merged['definitionmappings'], fn($mapping) => !isset($definitions[$mapping['definition']]));
            foreach ($definitions as $id => $definition) {
                $stores = self::first($rules, ['name' => $id] + $definition);
                if ($stores !== $default) {
                    array_push($mappings, ...self::rows(['definition' => $id], $stores));
                }
            }
            $merged['definitionmappings'] = $mappings;
        }
        return $merged;
    }

    /**
     * What Moodle is to keep of a merged configuration.
     *
     * @param array $merged With changes, none of which is of what config.php says.
     * @param array $kept What was kept so far.
     * @return array
     */
    public static function without(array $merged, array $kept): array {
        $merged['stores'] = array_diff_key($merged['stores'], self::stores());
        foreach (array_keys(array_filter(self::section('rules'))) as $name) {
            $mode = self::MODES[$name];
            $definitions = array_filter($kept['definitions'], fn($definition) => (int)$definition['mode'] === $mode);
            $ismode = fn($mapping) => (int)($mapping['mode'] ?? $definitions[$mapping['definition']]['mode'] ?? 0) === $mode;
            foreach (['modemappings', 'definitionmappings'] as $part) {
                $others = array_filter($merged[$part], fn($mapping) => !$ismode($mapping));
                $merged[$part] = array_merge($others, array_filter($kept[$part], $ismode));
            }
        }
        return $merged;
    }

    /**
     * Definitions with what config.php says of them.
     *
     * @param array[] $definitions
     * @return array[]
     */
    public static function override(array $definitions): array {
        foreach (array_intersect_key(self::section('definitionoverrides'), $definitions) as $id => $override) {
            $definitions[$id] = $override + $definitions[$id];
        }
        return $definitions;
    }

    /**
     * The stores of the first rule whose conditions are met.
     *
     * @param array $rules
     * @param array $facts What is known of a definition.
     * @return string[] Names; empty when there is none.
     */
    private static function first(array $rules, array $facts): array {
        foreach ($rules as $rule) {
            foreach ($rule['conditions'] ?? [] as $name => $value) {
                if (($facts[$name] ?? null) !== $value) {
                    continue 2;
                }
            }
            return array_values($rule['stores']);
        }
        return [];
    }

    /**
     * Mappings to stores, the first of which comes first.
     *
     * @param array $what What is mapped.
     * @param string[] $stores
     * @return array[]
     */
    private static function rows(array $what, array $stores): array {
        $rows = [];
        foreach ($stores as $position => $store) {
            $rows[] = $what + ['store' => $store, 'sort' => count($stores) - $position];
        }
        return $rows;
    }

    /**
     * A part of the array.
     *
     * @param string $name
     * @return array Empty when it has none, or is wrong.
     */
    private static function section(string $name): array {
        global $CFG;
        return self::problem() === '' ? $CFG->larder[$name] ?? [] : [];
    }

    /**
     * The file that defines a store's class.
     *
     * @param string $type Name of its plugin.
     * @return string
     */
    private static function library(string $type): string {
        global $CFG;
        return "{$CFG->dirroot}/cache/stores/" . basename($type) . '/lib.php';
    }
}
