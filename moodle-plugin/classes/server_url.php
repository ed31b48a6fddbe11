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
 * The URL of a server, as the form asks for it: its kind, and the parts that this kind has.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class server_url {
    /** @var string The kind whose URL is entered as it is. */
    public const OTHER = 'url';

    /** @var array[] Of each kind: how its URL begins, and its parts; of each part what comes before it, and its pattern. */
    private const SHAPES = [
        'redis' => ['redis://', self::SERVER],
        'rediss' => ['rediss://', self::SERVER],
        'sentinel' => ['redis-sentinel://', self::SERVICE],
        'sentineltls' => ['rediss-sentinel://', self::SERVICE],
        'cluster' => ['redis-cluster://', self::CLUSTER],
        'clustertls' => ['rediss-cluster://', self::CLUSTER],
        'unix' => ['redis+unix://', ['serverpath' => ['', '/[^?#%\s]+'], 'serverdatabase' => ['?db=', '\d+']]],
        'dir' => ['dir:', self::DIRECTORY],
        'local' => ['local:', self::DIRECTORY],
    ];

    /** @var array[] The parts of a single server's URL. */
    private const SERVER = ['serverhost' => ['', '[^/@?#\s]+'], 'serverdatabase' => ['/', '\d+']];

    /** @var array[] The parts of the URL of a service of sentinels. */
    private const SERVICE = [
        'serverhosts' => ['', '[^/@?#\s]+'], 'serverservice' => ['/', '[^/@?#\s]+'], 'serverdatabase' => ['/', '\d+'],
    ];

    /** @var array[] The parts of a cluster's URL. */
    private const CLUSTER = ['serverhosts' => ['', '[^/@?#\s]+']];

    /** @var array[] The parts of a directory's URL. */
    private const DIRECTORY = ['serverpath' => ['', '/[^?#%]+'], 'serversize' => ['?size=', '\w+']];

    /** @var string[] The fields for the parts of a URL, in the order of the form. */
    public const FIELDS = ['serverhost', 'serverhosts', 'serverservice', 'serverpath', 'serverdatabase', 'serversize'];

    /** @var string[] Those that may be empty. */
    private const OPTIONAL = ['serverdatabase', 'serversize'];

    /**
     * The kinds to choose from.
     *
     * @return string[]
     */
    public static function kinds(): array {
        return [...array_keys(self::SHAPES), self::OTHER];
    }

    /**
     * The kinds of server whose URL has a part.
     *
     * @param string $field One of FIELDS.
     * @return string[]
     */
    public static function kinds_with(string $field): array {
        return array_keys(array_filter(self::SHAPES, fn($shape) => isset($shape[1][$field])));
    }

    /**
     * What the form shows for a URL.
     *
     * @param string $url
     * @return string[] The kind, and either its parts or, for a URL of no other shape, the URL.
     */
    public static function split(string $url): array {
        foreach (self::SHAPES as $kind => [$pattern, $parts]) {
            $pattern = preg_quote($pattern, '~');
            foreach ($parts as $field => [$separator, $part]) {
                $separator = preg_quote($separator, '~');
                $pattern .= "(?:{$separator}(?<{$field}>{$part}))" . (in_array($field, self::OPTIONAL) ? '?' : '');
            }
            if (preg_match("~^{$pattern}$~", $url, $found)) {
                return ['serverkind' => $kind] + array_intersect_key($found, $parts);
            }
        }
        return ['serverkind' => self::OTHER, 'server' => $url];
    }

    /**
     * The URL that was entered.
     *
     * @param \stdClass $data What the form sent.
     * @return string
     */
    public static function join(\stdClass $data): string {
        $field = fn(string $name) => trim((string)($data->$name ?? ''));
        $shape = self::SHAPES[$field('serverkind')] ?? null;
        if ($shape === null) {
            return $field('server');
        }
        [$url, $parts] = $shape;
        foreach ($parts as $name => [$separator]) {
            if ($field($name) !== '') {
                $url .= $separator . $field($name);
            } else if (!in_array($name, self::OPTIONAL)) {
                return '';
            }
        }
        return $url;
    }

    /**
     * Whether a URL names sentinels, which have credentials of their own.
     *
     * @param string $url
     * @return bool
     */
    public static function has_sentinels(string $url): bool {
        return (bool)preg_match('~^rediss?-sentinel://~', $url);
    }

    /**
     * The field that a mistake in the URL is about.
     *
     * @param \stdClass $data What the form sent.
     * @return string
     */
    public static function field(\stdClass $data): string {
        $fields = array_keys(self::SHAPES[$data->serverkind ?? ''][1] ?? ['server' => []]);
        $empty = array_filter($fields, fn($field) => trim((string)($data->$field ?? '')) === '');
        return current(array_diff($empty, self::OPTIONAL)) ?: $fields[0];
    }

    /**
     * Where a URL's entries are: the URL without what only says how much room they have.
     *
     * @param string $url
     * @return string
     */
    public static function location(string $url): string {
        return preg_replace('~\?size=\w+$~', '', $url);
    }
}
