<?php
/**
 * The figures of the report, what a request cost, and the task that raises events.
 *
 * @license MIT OR Apache-2.0
 */

use cachestore_larder\report\figures;
use cachestore_larder\request_cost;
use core_cache\store;

final class report_test extends plugin_testcase {
    /** A node that did something in the minute of each time. */
    private static function node(array $counts, array $more = []): array {
        $minutes = [];
        foreach ($counts as $time => $done) {
            $minutes[] = ['time' => $time, 'caches' => ['core/string@12ab' => $done]] + $done;
        }
        return $more + ['minutes' => $minutes, 'hours' => [], 'configuration' => 'same', 'options' => [], 'seen' => 0];
    }

    public function test_the_nodes_are_added_up_minute_by_minute(): void {
        $now = 360_030;
        $nodes = [
            'one' => self::node([
                359_940 => ['requests' => 2, 'near_hits' => 6, 'hits' => 1, 'misses' => 1, 'round_trips' => 3],
                100 => ['requests' => 9],
            ]),
            'two' => self::node([359_950 => ['requests' => 1, 'near_hits' => 2], 360_000 => ['requests' => 4]]),
        ];
        $figures = new figures($nodes, 'hour');
        $series = $figures->series($now);
        $this->assertCount(60, $series);
        $this->assertSame(360_000, end($series)['time']);
        $this->assertSame([0, 3, 4], array_column(array_slice($series, -3), 'requests'));
        $this->assertSame(80.0, figures::percent($series[58]['near_hits'], figures::reads($series[58])));
        $this->assertSame(1.0, figures::each($series[58], $series[58]['round_trips']));
        $this->assertNull(figures::percent(0, figures::reads($series[0])));
        $this->assertNull(figures::each($series[0], 0));

        $one = new figures($nodes, 'hour', 'two');
        $this->assertSame([0, 1, 4], array_column(array_slice($one->series($now), -3), 'requests'));
        $this->assertSame(5, $one->total()['requests']);
        $this->assertCount(24, (new figures($nodes, 'day'))->series($now));
        $this->assertSame([], (new figures([], 'day'))->definitions());
    }

    public function test_definitions_come_by_name_and_the_most_read_first(): void {
        $node = self::node([60 => []]);
        $node['minutes'][0]['caches'] = [
            'core/config@aa' => ['near_hits' => 1],
            'core/string@bb' => ['near_hits' => 2, 'misses' => 1],
            'core/string@cc' => ['hits' => 3],
        ];
        $definitions = (new figures(['one' => $node, 'two' => $node], 'hour'))->definitions();
        $this->assertSame(['core/string', 'core/config'], array_keys($definitions));
        $this->assertSame(12, figures::reads($definitions['core/string']));
    }

    public function test_a_node_whose_configuration_differs_is_named_with_its_options(): void {
        $node = fn(string $hash, array $options, int $seen = 1) => self::node([], ['configuration' => $hash, 'options' => $options, 'seen' => $seen]);
        $usual = ['server' => 'redis://h', 'near_bytes' => '1'];
        $this->assertSame([], (new figures([], 'hour'))->differences());
        $this->assertSame([], (new figures(['one' => $node('a', $usual)], 'hour'))->differences());
        $nodes = ['one' => $node('a', $usual), 'two' => $node('b', ['near_bytes' => '2'] + $usual), '3' => $node('a', $usual)];
        $this->assertSame(['two' => 'near_bytes'], (new figures($nodes, 'hour'))->differences());
        unset($nodes['3']);
        $nodes['two']['seen'] = 2;
        $this->assertSame(['one' => 'near_bytes'], (new figures($nodes, 'hour'))->differences(), 'the newest is taken for right');
        $nodes = ['one' => $node('a', $usual), 'two' => $node('b', $usual + ['fallback' => 'x']), 'three' => $node('a', $usual)];
        $this->assertSame(['two' => 'fallback'], (new figures($nodes, 'hour'))->differences());
    }

    public function test_what_a_request_cost_is_told_where_it_is_asked_for(): void {
        global $CFG;
        $this->store()->get('key');
        $this->assertSame('', request_cost::line());
        $CFG->larder_request_cost = true;
        try {
            $store = $this->store();
            $this->assertStringContainsString('Larder: 0 round trips, 0 bytes', request_cost::line());
            $store->set('key', 1);
            $this->assertMatchesRegularExpression('~Larder: [1-9]\d* round trips~', request_cost::line());
            $this->assertMatchesRegularExpression(
                '~^larder;dur=\d+\.\d{3};desc="[1-9]\d* round trips, \d+ bytes", larder-locks;dur=\d+\.\d{3}$~',
                request_cost::server_timing()
            );
            $this->assertSame('the page', request_cost::send_header('the page'));
        } finally {
            unset($CFG->larder_request_cost);
            (new ReflectionProperty(request_cost::class, 'stores'))->setValue(null, []);
        }
    }

    public function test_sizes_for_moodles_own_pages(): void {
        $store = $this->store();
        $store->set('key', str_repeat('x', 1000));
        $this->assertGreaterThan(1000, $store->store_total_size());
        $over = str_starts_with($this->configuration()['server'], 'redis');
        $this->assertSame($over ? 0 : store::IO_BYTES_NOT_SUPPORTED, $store->get_last_io_bytes());
        $store->set('key', str_repeat('y', 1000));
        $this->assertSame($over, $store->get_last_io_bytes() > 0);
        $store->get('key');
        $this->assertSame($over ? 0 : store::IO_BYTES_NOT_SUPPORTED, $store->get_last_io_bytes(), 'memory had it');
    }
}
