<?php
/**
 * Large values: the structure of a course, read once in each request.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

return function (Bench $bench): void {
    $bench->begin('large: the structure of a course, read once in each request');
    $socket = "{$bench->directory}/redis.sock";
    $server = "redis+unix://{$socket}?db=5";
    // Separate namespaces: each store writes its own.
    $stores = [
        'Larder, all kept' => $bench->larder($server, ['namespace' => 'kept', 'near_bytes' => '1G']),
        'Larder' => $bench->larder($server, ['namespace' => 'default']),
        'Larder, nothing kept' => $bench->larder($server, ['namespace' => 'not-kept', 'near_bytes' => '64K']),
        'phpredis with igbinary' => $bench->phpredis($socket, 'igbinary'),
    ];
    [$kept, $default, , $igbinary] = array_keys($stores);
    $rows = $bars = [];
    $targets = new Targets();
    foreach ([400, 2000, 4000, 8000, 16000, 32000, 87000] as $activities) {
        $times = $reads = $last = [];
        $megabytes = 0;
        foreach ($stores as $label => $worker) {
            $megabytes = $worker->ask(['do' => 'course', 'activities' => $activities]) / 1e6;
        }
        // In turns, so that whatever else the machine does meets all of them.
        $each = max(2, (int)(40 / $megabytes));
        for ($round = 0; $round < 5; $round++) {
            foreach ($stores as $label => $worker) {
                $last[$label] = $worker->ask(['do' => 'read course', 'times' => $each]);
                $times[$label] = [...($times[$label] ?? []), ...$last[$label]['all']];
                $reads[$label] = [...($reads[$label] ?? []), ...$last[$label]['read']];
            }
        }
        $milliseconds = array_map(fn($of) => Measures::median($of) / 1e6, $times);
        $cells = array_map(fn($label) => sprintf('%.2f ms, %d', $milliseconds[$label], $last[$label]['trips']), array_keys($stores));
        $size = sprintf('%.1f MB', $megabytes);
        $rows[] = [number_format($activities), $size, ...$cells, sprintf('%.1f MB', $last[$default]['memory'] / 1e6)];
        foreach ($milliseconds as $label => $time) {
            $bars["{$size}: {$label}"] = $time;
            if ($label !== $igbinary) {
                $targets->atMost("{$size}: {$label}, of the time of phpredis with igbinary", $time / $milliseconds[$igbinary], 1, 'x');
            }
        }
        if ($activities <= 4000) {
            $targets->atMost("{$size}: {$default}, begin and get alone", Measures::median($reads[$default]) / 1e6, 0.1, 'ms');
        }
        $stores[$kept]->ask(['do' => 'delete course']);
        $stores[$default]->ask(['do' => 'delete course']);
    }
    $bench->screen->line();
    $bench->screen->table(['activities', 'serialize()', ...array_keys($stores), 'Larder holds'], $rows);
    $bench->screen->line('The median time to begin, to get the value and to free it, and the round trips of the last read. "Larder" has the default near_bytes.');
    $bench->chart('large', 'One read of the structure of a course in a request', 'ms', $bars);
    $targets->show($bench->screen);
};
