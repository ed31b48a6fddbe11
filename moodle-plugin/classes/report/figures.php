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

namespace cachestore_larder\report;

/**
 * Figures of what the nodes did with a store, from the extension's Store::statistics().
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class figures {
    /** @var array[] Of each period that can be shown: the samples that it has, how many these are, and the seconds of each. */
    public const PERIODS = ['hour' => ['minutes', 60, 60], 'day' => ['hours', 24, 3600]];

    /** @var string[] What is counted of a cache. */
    private const OF_CACHE = ['near_hits', 'hits', 'misses', 'sets', 'deletes', 'purges'];

    /** @var string[] What is counted of a store beside that. */
    private const OF_STORE = ['requests', 'round_trips', 'bytes_sent', 'bytes_received', 'store_us', 'lock_us', 'errors'];

    /** @var array[] What is known of the nodes, by name. */
    private $nodes;

    /** @var array[] The samples of the period, by node. */
    private $samples = [];

    /**
     * The figures of a period.
     *
     * @param array[] $nodes As the extension gives it.
     * @param string $period One of PERIODS.
     * @param string $node The name of the only node that counts; empty for all.
     */
    public function __construct(
        array $nodes,
        /** @var string One of PERIODS. */
        private string $period,
        string $node = '',
    ) {
        $this->nodes = $nodes;
        foreach ($nodes as $name => $known) {
            if ($node === '' || $node === (string)$name) {
                $this->samples[$name] = $known[self::PERIODS[$period][0]];
            }
        }
    }

    /**
     * What was counted, from the beginning of the period to now.
     *
     * @param int $now Unix seconds.
     * @return array[] Counts by name, and "time", for each minute or hour of the period, also those in which nothing was done.
     */
    public function series(int $now): array {
        [, $count, $length] = self::PERIODS[$this->period];
        $last = $now - $now % $length;
        $series = [];
        for ($time = $last - ($count - 1) * $length; $time <= $last; $time += $length) {
            $series[$time] = ['time' => $time] + self::none();
        }
        foreach (array_merge(...array_values($this->samples)) as $sample) {
            $time = $sample['time'] - $sample['time'] % $length;
            if (isset($series[$time])) {
                $series[$time] = self::add($series[$time], $sample);
            }
        }
        return array_values($series);
    }

    /**
     * All that was counted in the period.
     *
     * @return int[] By name.
     */
    public function total(): array {
        return array_reduce(array_merge(...array_values($this->samples)), self::add(...), self::none());
    }

    /**
     * What was counted of each definition in the period.
     *
     * @return array[] Counts by the definition's name, the most read one first.
     */
    public function definitions(): array {
        $definitions = [];
        foreach (array_merge(...array_values($this->samples)) as $sample) {
            foreach ($sample['caches'] as $cache => $counts) {
                // A hash follows, which tells definitions of the same name apart.
                $name = explode('@', (string)$cache)[0];
                $definitions[$name] = self::add($definitions[$name] ?? self::none(), $counts);
            }
        }
        uasort($definitions, fn($one, $other) => self::reads($other) <=> self::reads($one));
        return $definitions;
    }

    /**
     * The names of the options whose values differ between nodes.
     *
     * @return string[] By node, of those whose configuration is not that of most; the newest wins a draw.
     */
    public function differences(): array {
        $groups = [];
        foreach ($this->nodes as $name => $known) {
            $groups[$known['configuration']][$name] = $known;
        }
        if (count($groups) < 2) {
            return [];
        }
        uasort($groups, fn($one, $other) => [count($other), max(array_column($other, 'seen'))]
            <=> [count($one), max(array_column($one, 'seen'))]);
        $usual = current(array_shift($groups))['options'];
        $differences = [];
        foreach (array_replace(...array_values($groups)) as $name => $known) {
            $differing = array_diff_assoc($known['options'], $usual) + array_diff_assoc($usual, $known['options']);
            $differences[$name] = implode(', ', array_keys($differing));
        }
        return $differences;
    }

    /**
     * How many values were asked for.
     *
     * @param int[] $counts
     * @return int
     */
    public static function reads(array $counts): int {
        return $counts['near_hits'] + $counts['hits'] + $counts['misses'];
    }

    /**
     * A share in percent.
     *
     * @param int $part
     * @param int $whole
     * @return float|null Null where there is nothing to share.
     */
    public static function percent(int $part, int $whole): ?float {
        return $whole > 0 ? round(100 * $part / $whole, 2) : null;
    }

    /**
     * What a request did on average.
     *
     * @param int[] $counts
     * @param float $amount Of all requests together.
     * @return float|null Null without requests.
     */
    public static function each(array $counts, float $amount): ?float {
        return $counts['requests'] > 0 ? round($amount / $counts['requests'], 3) : null;
    }

    /**
     * Counts of nothing.
     *
     * @return int[]
     */
    private static function none(): array {
        return array_fill_keys([...self::OF_STORE, ...self::OF_CACHE], 0);
    }

    /**
     * Adds counts to others.
     *
     * @param int[] $sum
     * @param array $counts Those that it does not have are zero.
     * @return int[]
     */
    private static function add(array $sum, array $counts): array {
        foreach ([...self::OF_STORE, ...self::OF_CACHE] as $name) {
            $sum[$name] += $counts[$name] ?? 0;
        }
        return $sum;
    }
}
