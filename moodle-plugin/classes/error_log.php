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
 * Writes to PHP's error log.
 *
 * Above all it tells which of a server and its fallback took over: once for a node, not once for a request.
 *
 * The extension sees to it that one process of the node gets each message. The log is written when the request ends,
 * and no event is raised: to do so inside a cache operation would lead back into the cache.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class error_log {
    /** @var \Larder\Store[] The stores of this request, by the names of their instances. */
    private static $stores = [];

    /**
     * Reports what happens to a store when the request ends.
     *
     * @param string $name Name of the instance.
     * @param \Larder\Store $store
     */
    public static function follow(string $name, \Larder\Store $store): void {
        if (!self::$stores) {
            register_shutdown_function([self::class, 'report']);
        }
        self::$stores[$name] = $store;
    }

    /**
     * Writes to the error log what there is to tell. Asks no server.
     */
    public static function report(): void {
        foreach (self::$stores as $name => $store) {
            foreach ($store->events() as $message) {
                self::log("store \"{$name}\": {$message}");
            }
        }
    }

    /**
     * Writes a line to the error log.
     *
     * @param string $message
     */
    public static function log(string $message): void {
        // What debugging() is told before Moodle's settings are loaded is lost, and so is all of it on most sites.
        // phpcs:ignore moodle.PHP.ForbiddenFunctions.FoundWithAlternative
        error_log("cachestore_larder: {$message}");
    }
}
