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
 * Asks the servers of a configuration that is not saved yet.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class connection_test {
    /**
     * Asks the server, and the fallback if there is one, each within its timeouts. Each is asked on its own and in a
     * namespace of its own, so that nothing of the site is touched.
     *
     * @param \stdClass $data What the form sent.
     * @return array Whether all is well, and what was found, as HTML.
     */
    public static function run(#[\SensitiveParameter] \stdClass $data): array {
        try {
            $config = configuration::for_extension(configuration::from_form($data));
        } catch (\Throwable $e) {
            return [false, s($e->getMessage())];
        }
        $servers = array_filter(['server' => $config['server'] ?? '', 'fallback' => $config['fallback'] ?? '']);
        unset($config['fallback'], $config['node_tier'], $config['generation']);
        // A namespace has at most 100 characters.
        $config['namespace'] = substr($config['namespace'], 0, 84) . '_connection_test';
        $well = true;
        $found = [];
        $labels = ['server' => 'header_server', 'fallback' => 'fallback'];
        foreach ($servers as $setting => $server) {
            [$answers, $text] = self::ask(['server' => $server] + $config);
            $well = $well && $answers;
            $found[] = get_string($labels[$setting], 'cachestore_larder') . ': ' . $text;
        }
        return [$well, \html_writer::alist($found, ['class' => 'mb-0'])];
    }

    /**
     * Asks one server.
     *
     * @param array $config
     * @return array Whether it answers, and what it is or what is wrong, as HTML.
     */
    private static function ask(#[\SensitiveParameter] array $config): array {
        if (!str_starts_with($config['server'], 'redis')) {
            $config = array_diff_key($config, array_flip(configuration::OF_REDIS));
        }
        try {
            $store = \Larder\Store::open($config);
            if ($wrong = $store->reach()) {
                return [false, s(trim(self::sentence($wrong['error']) . self::sentence($wrong['advice'])))];
            }
            $health = $store->health();
        } catch (\Throwable $e) {
            return [false, s($e->getMessage())];
        }
        if (empty($health['reachable']) || !empty($health['refusing'])) {
            return [false, s($health['reason'])];
        }
        $facts = $health['facts'];
        $text = get_string('connection_ok', 'cachestore_larder');
        if (isset($facts['redis_version'])) {
            $text = get_string('connection_redis', 'cachestore_larder', s($facts['redis_version']));
        }
        if (str_starts_with($facts['maxmemory_policy'] ?? '', 'allkeys')) {
            $text .= ' ' . get_string('connection_eviction', 'cachestore_larder', s($facts['maxmemory_policy']));
        }
        return [true, $text];
    }

    /**
     * Text of the extension as a sentence.
     *
     * @param string $text
     * @return string
     */
    private static function sentence(string $text): string {
        return $text === '' ? '' : ucfirst(rtrim($text, '. ')) . '. ';
    }
}
