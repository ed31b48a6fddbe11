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
 * Records who purged what in the audit log of the store: once a request, when it ends.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class audit {
    /** @var int The most names of caches in a record. */
    private const NAMES = 10;

    /** @var int The most frames of a backtrace in a record. */
    private const FRAMES = 6;

    /** @var array[] What was purged, by process (a script may fork) and instance: store, caches as keys, first backtrace. */
    private static $purged = [];

    /**
     * A cache was purged. Asks no server.
     *
     * @param string $instance
     * @param object $store The extension's.
     * @param string $cache
     */
    public static function purged(string $instance, object $store, string $cache): void {
        $process = getmypid();
        if (empty(self::$purged[$process])) {
            // PHP also calls what is registered while it shuts down, in which Moodle and plugins may purge.
            register_shutdown_function([self::class, 'record']);
        }
        self::$purged[$process][$instance] ??= ['store' => $store, 'caches' => [], 'trace' => self::trace()];
        self::$purged[$process][$instance]['caches'][$cache] = true;
    }

    /**
     * Writes what this request purged, one record an instance.
     */
    public static function record(): void {
        [$all, self::$purged] = [self::$purged[getmypid()] ?? [], []];
        foreach ($all as $purged) {
            $details = ['caches' => self::names(array_keys($purged['caches'])), 'trace' => $purged['trace']] + self::where();
            try {
                $purged['store']->audit('purge', array_map(fn($text) => mb_scrub((string)$text, 'UTF-8'), $details));
            } catch (\Throwable $e) {
                debugging('larder: ' . $e->getMessage());
            }
        }
    }

    /**
     * The names of caches as a text that stays short.
     *
     * @param string[] $caches
     * @return string
     */
    private static function names(array $caches): string {
        $text = implode(', ', array_slice($caches, 0, self::NAMES));
        $more = count($caches) - self::NAMES;
        return $more > 0 ? "{$text} and {$more} more" : $text;
    }

    /**
     * Where this request runs, and for whom.
     *
     * @return array Neither parameters of the page nor arguments of the script: they may be secret.
     */
    private static function where(): array {
        global $USER;
        $script = PHP_SAPI === 'cli' ? $_SERVER['argv'][0] ?? '' : strtok($_SERVER['REQUEST_URI'] ?? '', '?');
        return [
            'node' => (string)gethostname(),
            'script' => self::relative((string)$script),
            'user' => (string)($USER->id ?? ''),
        ];
    }

    /**
     * Who called, outside of the cache's own code.
     *
     * @return string File and line of each caller, the nearest first.
     */
    private static function trace(): string {
        $frames = [];
        foreach (debug_backtrace(DEBUG_BACKTRACE_IGNORE_ARGS, 60) as $frame) {
            $file = $frame['file'] ?? '';
            if ($file !== '' && !str_starts_with($file, dirname(__DIR__) . '/') && !str_contains($file, '/cache/classes/')) {
                $frames[] = self::relative($file) . ":{$frame['line']}";
            }
        }
        return implode(' < ', array_slice($frames, 0, self::FRAMES));
    }

    /**
     * A file's path within Moodle.
     *
     * @param string $file
     * @return string
     */
    private static function relative(string $file): string {
        global $CFG;
        $root = ($CFG->dirroot ?? '') . '/';
        return str_starts_with($file, $root) ? substr($file, strlen($root)) : $file;
    }
}
