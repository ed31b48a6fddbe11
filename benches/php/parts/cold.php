<?php
/**
 * The first page of a new process.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

return function (Bench $bench): void {
    $bench->begin('cold: the first page of a new process, after another has warmed the store');
    $socket = "{$bench->directory}/redis.sock";
    $stores = [
        'Larder, Redis at 0.3 ms' => fn() => $bench->larder("redis://127.0.0.1:{$bench->delay}/2"),
        'Larder, Redis (Unix socket)' => fn() => $bench->larder("redis+unix://{$socket}?db=3"),
        'Larder, local:' => fn() => $bench->larder("local:{$bench->directory}/cold"),
        'Larder at 0.3 ms, node tier that is warm' => fn(string $tier = 'warm') => $bench->larder(
            "redis://127.0.0.1:{$bench->delay}/4",
            ['node_tier' => "local:{$bench->directory}/tier-{$tier}"],
        ),
        'phpredis at 0.3 ms' => fn() => $bench->phpredis("127.0.0.1:{$bench->delay}"),
        'phpredis (Unix socket)' => fn() => $bench->phpredis($socket),
    ];
    $rows = $times = $trips = [];
    // The first page of a process, and the same page again.
    $measure = function (string $label, Worker $new) use (&$rows, &$times, &$trips): void {
        [$first, $again] = [$new->ask(['do' => 'first']), $new->ask(['do' => 'first'])];
        $again['trips'] -= $first['trips'];
        $times[$label] = $first['nanoseconds'] / 1e6;
        $trips[$label] = $first['trips'];
        $row = fn($page) => [sprintf('%.3f ms', $page['nanoseconds'] / 1e6), (string)$page['trips']];
        $rows[] = [$label, ...$row($first), ...$row($again)];
    };
    foreach ($stores as $label => $start) {
        // One process fills the store, another serves the pages until it has listed what they need, a third restores what they deleted.
        $start()->ask(['do' => 'fill']);
        $warm = $start();
        for ($pass = 0; $pass < 3; $pass++) {
            $warm->ask(['do' => 'verify', 'offset' => 0]);
            usleep(600_000);
        }
        $start()->ask(['do' => 'fill']);
        $measure($label, $start());
        if (str_contains($label, 'node tier')) {
            // What `larder warm` does on a node that is new.
            $start('new')->ask(['do' => 'warm']);
            $measure('the same on a new node, after larder warm', $start('new'));
        }
    }
    $bench->screen->line();
    $bench->screen->table(['store', 'first page', 'round trips', 'again', 'round trips'], $rows);
    $bench->screen->line('The page of the recording that does most among those that write nothing; a process each, so times are single ones.');
    $bench->chart('cold', 'First page of a new process', 'ms in the store', $times);
    $targets = new Targets();
    foreach (array_filter($trips, fn($label) => !str_contains($label, 'phpredis'), ARRAY_FILTER_USE_KEY) as $label => $count) {
        $targets->atMost("{$label}, round trips of the first page", $count, 5, '');
    }
    $targets->show($bench->screen);
};
