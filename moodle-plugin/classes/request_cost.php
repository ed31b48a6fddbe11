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
 * What this request did at the servers, for administrators who look for the reason of a slow page.
 *
 * Off unless config.php has $CFG->larder_request_cost = true. Then each answer has the header Server-Timing, which browsers show
 * among the timings of a request, and each page a line in its footer.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class request_cost {
    /** @var string[] The extension's counts that are shown. */
    private const COUNTS = ['round_trips', 'bytes_sent', 'bytes_received', 'store_us', 'lock_us'];

    /** @var array[] Each store with its counts at the beginning of the request, by the instance's name. */
    private static $stores = [];

    /**
     * Counts what is done with a store from now on.
     *
     * @param string $name Name of the instance.
     * @param \Larder\Store $store
     */
    public static function follow(string $name, \Larder\Store $store): void {
        global $CFG;
        if (empty($CFG->larder_request_cost) || isset(self::$stores[$name])) {
            return;
        }
        if (!self::$stores && PHP_SAPI !== 'cli') {
            // The header comes before the page, so the page waits until all is counted.
            ob_start(self::send_header(...));
        }
        self::$stores[$name] = [$store, $store->stats()];
    }

    /**
     * Sends the header, before the first part of the page.
     *
     * @param string $page
     * @return string The page, as it was.
     */
    public static function send_header(string $page): string {
        if (self::$stores && !headers_sent()) {
            header('Server-Timing: ' . self::server_timing());
        }
        return $page;
    }

    /**
     * The header's content: milliseconds of waiting for servers and for locks, the former with round trips and bytes.
     *
     * @return string
     */
    public static function server_timing(): string {
        $spent = self::spent();
        $bytes = $spent['bytes_sent'] + $spent['bytes_received'];
        $timing = fn(string $name, int $us) => sprintf('%s;dur=%.3f', $name, $us / 1000);
        return $timing('larder', $spent['store_us']) . ";desc=\"{$spent['round_trips']} round trips, {$bytes} bytes\", "
            . $timing('larder-locks', $spent['lock_us']);
    }

    /**
     * The line for the footer.
     *
     * @return string HTML; empty unless it is asked for.
     */
    public static function line(): string {
        if (!self::$stores) {
            return '';
        }
        $spent = self::spent();
        return \html_writer::div(get_string('requestcost', 'cachestore_larder', [
            'roundtrips' => $spent['round_trips'],
            'bytes' => $spent['bytes_sent'] + $spent['bytes_received'],
            'store' => format_float($spent['store_us'] / 1000, 2),
            'locks' => format_float($spent['lock_us'] / 1000, 2),
        ]), 'larder_request_cost');
    }

    /**
     * What the request did so far.
     *
     * @return int[] By the names of COUNTS.
     */
    private static function spent(): array {
        $spent = array_fill_keys(self::COUNTS, 0);
        foreach (self::$stores as [$store, $before]) {
            $now = $store->stats();
            // The extension of an earlier release counts less.
            foreach (array_intersect_key($now, $spent) as $name => $count) {
                $spent[$name] += $count - $before[$name];
            }
        }
        return $spent;
    }
}
