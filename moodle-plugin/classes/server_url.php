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

    /** @var array[] Of each kind: how its URL begins, the main part and its pattern, the separator, the optional part and its pattern. */
    private const SHAPES = [
        'redis' => ['redis://', 'serverhost', '[^/@?#\s]+', '/', 'serverdatabase', '\d+'],
        'rediss' => ['rediss://', 'serverhost', '[^/@?#\s]+', '/', 'serverdatabase', '\d+'],
        'unix' => ['redis+unix://', 'serverpath', '/[^?#%\s]+', '?db=', 'serverdatabase', '\d+'],
        'dir' => ['dir:', 'serverpath', '/[^?#%]+', '?size=', 'serversize', '\w+'],
        'local' => ['local:', 'serverpath', '/[^?#%]+', '?size=', 'serversize', '\w+'],
    ];

    /** @var string[] The fields for the parts of a URL, in the order of the form. */
    public const FIELDS = ['serverhost', 'serverpath', 'serverdatabase', 'serversize'];

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
        return array_keys(array_filter(self::SHAPES, fn($shape) => in_array($field, $shape)));
    }

    /**
     * What the form shows for a URL.
     *
     * @param string $url
     * @return string[] The kind, and either its parts or, for a URL of no other shape, the URL.
     */
    public static function split(string $url): array {
        foreach (self::SHAPES as $kind => [$scheme, $main, $first, $separator, $optional, $second]) {
            [$scheme, $separator] = [preg_quote($scheme, '~'), preg_quote($separator, '~')];
            if (preg_match("~^{$scheme}({$first})(?:{$separator}({$second}))?$~", $url, $parts)) {
                return ['serverkind' => $kind, $main => $parts[1]] + (isset($parts[2]) ? [$optional => $parts[2]] : []);
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
        [$scheme, $main, , $separator, $optional] = $shape;
        if ($field($main) === '') {
            return '';
        }
        return $scheme . $field($main) . ($field($optional) === '' ? '' : $separator . $field($optional));
    }

    /**
     * The field that a mistake in the URL is about.
     *
     * @param \stdClass $data What the form sent.
     * @return string
     */
    public static function field(\stdClass $data): string {
        return self::SHAPES[$data->serverkind ?? ''][1] ?? 'server';
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
