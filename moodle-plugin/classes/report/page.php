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

use cachestore_larder\configuration;
use core\chart_bar;
use core\chart_base;
use core\chart_line;
use core\chart_series;
use core\output\renderable;
use core\output\renderer_base;
use core\output\templatable;

/**
 * What the report shows of one instance: who serves its nodes, what they did in the last hour or day, and who purged.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class page implements renderable, templatable {
    /** @var int The most definitions in the chart. */
    private const BARS = 10;

    /** @var float Dollars for a million ECPU of ElastiCache Serverless for Valkey in US East, in June 2026. */
    private const ECPU_PRICE = 0.0023;

    /** @var int Commands in each round trip: the role of the server, the log, and the entries or a script. */
    private const COMMANDS = 3;

    /** @var figures What was counted. */
    private $figures;

    /** @var array[] What is known of the nodes, by name. */
    private $nodes;

    /** @var \cachestore_larder The instance. */
    private $store;

    /** @var string[] What is chosen. */
    private $chosen;

    /**
     * What was asked for, as far as there is such a thing. Asks the server.
     *
     * @param array $asked With "instance", "period" and "node".
     * @param int $now Unix seconds.
     */
    public function __construct(
        array $asked,
        /** @var int Unix seconds. */
        private int $now,
    ) {
        $instances = configuration::instances();
        $this->chosen = self::choose($asked, [
            'instance' => array_keys($instances),
            'period' => array_keys(figures::PERIODS),
        ]);
        $instance = $this->chosen['instance'];
        $this->store = new \cachestore_larder($instance, $instances[$instance]['configuration']);
        $this->nodes = $this->store->statistics();
        $this->chosen += self::choose($asked, ['node' => ['', ...array_keys($this->nodes)]]);
        $this->figures = new figures($this->nodes, $this->chosen['period'], $this->chosen['node']);
    }

    /**
     * What is chosen.
     *
     * @return string[] By "instance", "period" and "node", which is empty for all nodes.
     */
    public function chosen(): array {
        return $this->chosen;
    }

    /**
     * What there is to choose from.
     *
     * @return array[] Labels by value, by the names of {@see chosen()}.
     */
    public function choices(): array {
        $instances = array_keys(configuration::instances());
        $nodes = array_keys($this->nodes);
        return [
            'instance' => array_combine($instances, $instances),
            'period' => [
                'hour' => get_string('report_hour', 'cachestore_larder'),
                'day' => get_string('report_day', 'cachestore_larder'),
            ],
            'node' => ['' => get_string('all')] + array_combine($nodes, $nodes),
        ];
    }

    /**
     * Those of the values that are asked for and are there, or else the first one.
     *
     * @param array $asked Value by name.
     * @param array[] $values Values by name.
     * @return string[]
     */
    private static function choose(array $asked, array $values): array {
        $chosen = [];
        foreach ($values as $name => $possible) {
            $possible = array_map('strval', $possible);
            $wanted = $asked[$name] ?? '';
            $chosen[$name] = in_array($wanted, $possible, true) ? $wanted : reset($possible);
        }
        return $chosen;
    }

    /**
     * What the template shows.
     *
     * @param renderer_base $output
     * @return array
     */
    public function export_for_template(renderer_base $output): array {
        $total = $this->figures->total();
        return [
            'told' => $this->nodes !== [],
            'nodes' => $this->node_rows(),
            'used' => $total['requests'] > 0,
            'charts' => array_map(fn($chart) => ['chart' => $output->render($chart)], $this->charts()),
            'definitions' => $this->definition_rows(),
            'cost' => $total['requests'] > 0 ? $this->cost($total) : null,
            'purges' => array_map($this->purge_row(...), array_reverse($this->store->audit_log())),
        ];
    }

    /**
     * A row for each node.
     *
     * @return array[]
     */
    private function node_rows(): array {
        $differences = $this->figures->differences();
        $rows = [];
        foreach ($this->nodes as $name => $known) {
            $rows[] = [
                'name' => (string)$name,
                'tier' => get_string("checkbackend_tier_{$known['tier']}", 'cachestore_larder'),
                'reason' => $known['reason'],
                'processes' => $known['processes'],
                'memory' => display_size($known['near_bytes']),
                'each' => display_size(intdiv($known['near_bytes'], max(1, $known['processes']))),
                'version' => $known['version'],
                'configuration' => $known['configuration'],
                'differs' => isset($differences[$name]) ? ['options' => $differences[$name]] : null,
                'clock' => round($known['clock_ahead'], 2),
                'seen' => format_time(max(1, $this->now - $known['seen'])),
            ];
        }
        return $rows;
    }

    /**
     * The charts.
     *
     * @return chart_base[]
     */
    private function charts(): array {
        $series = $this->figures->series($this->now);
        $times = array_map(fn($counts) => userdate($counts['time'], '%H:%M'), $series);
        $memory = fn($counts) => figures::percent($counts['near_hits'], figures::reads($counts));
        $hits = fn($counts) => figures::percent($counts['near_hits'] + $counts['hits'], figures::reads($counts));
        $bytes = fn($counts) => figures::each($counts, ($counts['bytes_sent'] + $counts['bytes_received']) / 1024);
        return [
            $this->lines($series, 'hits', ['hitrate' => $hits, 'fromnode' => $memory], $times),
            $this->lines($series, 'network', [
                'roundtrips' => fn($counts) => figures::each($counts, $counts['round_trips']),
                'kilobytes' => $bytes,
            ], $times),
            $this->lines($series, 'waits', [
                'storetime' => fn($counts) => figures::each($counts, $counts['store_us'] / 1000),
                'locktime' => fn($counts) => figures::each($counts, $counts['lock_us'] / 1000),
            ], $times),
            $this->bars($series, 'changes', ['sets', 'deletes', 'purges'], $times),
            $this->lines($series, 'requests', [
                'requests' => fn($counts) => $counts['requests'],
                'errors' => fn($counts) => $counts['errors'],
            ], $times),
            $this->most_read(),
        ];
    }

    /**
     * A chart of lines over time.
     *
     * @param array[] $series
     * @param string $title Name of its string.
     * @param callable[] $lines What to show of the counts, by the name of its string.
     * @param string[] $times
     * @return chart_line
     */
    private function lines(array $series, string $title, array $lines, array $times): chart_line {
        $chart = new chart_line();
        foreach ($lines as $name => $value) {
            $chart->add_series(new chart_series(self::label($name), array_map($value, $series)));
        }
        return $this->finish($chart, $title, $times);
    }

    /**
     * A chart of bars that stand on each other.
     *
     * @param array[] $rows Counts.
     * @param string $title Name of its string.
     * @param string[] $names Names of the counts, which are those of their strings.
     * @param string[] $labels Of the rows.
     * @return chart_bar
     */
    private function bars(array $rows, string $title, array $names, array $labels): chart_bar {
        $chart = new chart_bar();
        $chart->set_stacked(true);
        foreach ($names as $name) {
            $chart->add_series(new chart_series(self::label($name), array_column($rows, $name)));
        }
        return $this->finish($chart, $title, $labels);
    }

    /**
     * The chart of the definitions that are read most.
     *
     * @return chart_bar
     */
    private function most_read(): chart_bar {
        $most = array_slice($this->figures->definitions(), 0, self::BARS, true);
        $chart = $this->bars(array_values($most), 'definitions', ['near_hits', 'hits', 'misses'], array_keys($most));
        $chart->set_horizontal(true);
        return $chart;
    }

    /**
     * Gives a chart its title and labels.
     *
     * @param chart_base $chart
     * @param string $title Name of its string.
     * @param string[] $labels
     * @return chart_base
     */
    private function finish(chart_base $chart, string $title, array $labels): chart_base {
        $chart->set_title(get_string("chart_{$title}", 'cachestore_larder'));
        $chart->set_labels($labels);
        return $chart;
    }

    /**
     * A row for a record of the audit log.
     *
     * @param array $record
     * @return array
     */
    private function purge_row(array $record): array {
        $details = [];
        foreach ($record['details'] as $name => $value) {
            $details[] = ['name' => $name, 'value' => $value];
        }
        return ['time' => userdate((int)$record['time']), 'action' => $record['action'], 'details' => $details];
    }

    /**
     * A row for each definition.
     *
     * @return array[]
     */
    private function definition_rows(): array {
        $rows = [];
        foreach ($this->figures->definitions() as $name => $counts) {
            $reads = figures::reads($counts);
            $hits = $counts['near_hits'] + $counts['hits'];
            $rows[] = [
                'name' => $name,
                'reads' => $reads,
                'hitrate' => self::shown(figures::percent($hits, $reads)),
                'fromnode' => self::shown(figures::percent($counts['near_hits'], $reads)),
            ] + $counts;
        }
        return $rows;
    }

    /**
     * What a request costs on the network, and what it would cost if each call were a command.
     *
     * @param int[] $total
     * @return array
     */
    private function cost(array $total): array {
        $kilobytes = ($total['bytes_sent'] + $total['bytes_received']) / 1024;
        $ours = figures::each($total, self::COMMANDS * $total['round_trips'] + $kilobytes);
        $calls = figures::each($total, figures::reads($total) + $total['sets'] + $total['deletes']);
        $price = fn(float $ecpu) => format_float($ecpu * self::ECPU_PRICE, 3);
        return [
            'roundtrips' => format_float(figures::each($total, $total['round_trips']), 1),
            'commands' => format_float(figures::each($total, self::COMMANDS * $total['round_trips']), 1),
            'kilobytes' => format_float(figures::each($total, $kilobytes), 1),
            'dollars' => $price($ours),
            'calls' => format_float($calls, 1),
            'calldollars' => $price($calls),
            'ecpuprice' => self::ECPU_PRICE,
        ];
    }

    /**
     * A number that may be missing.
     *
     * @param float|null $number
     * @return string
     */
    private static function shown(?float $number): string {
        return $number === null ? '' : format_float($number, 1);
    }

    /**
     * The name of a count.
     *
     * @param string $name
     * @return string
     */
    private static function label(string $name): string {
        return get_string("count_{$name}", 'cachestore_larder');
    }
}
