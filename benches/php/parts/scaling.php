<?php
/**
 * One to eight processes at once on a shared directory whose every operation takes 0.6 ms.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

require_once dirname(__DIR__) . '/lib/slow_mount.php';

return function (Bench $bench): void {
    $bench->begin('scaling: one to eight processes, a shared directory with 0.6 ms an operation');
    $mount = SlowMount::for($bench, 'scaling');
    if ($mount === null) {
        return;
    }
    $counts = [1, 2, 4, 8];
    $rounds = 3;
    // Every eighth page; one of them changes something, as one in seventeen does in the recording.
    $pages = range(0, $bench->pages - 1, 8);
    $workers = $repeats = $rates = [];
    foreach ($mount->stores($bench) as $label => $start) {
        $workers[$label] = array_map(fn() => $start(), range(1, max($counts)));
        // Larder plays them often, so that there is something to measure.
        $repeats[$label] = SlowMount::isLarder($label) ? 10 : 1;
        Worker::askAll($workers[$label], array_fill(0, max($counts), ['do' => 'verify', 'offset' => 0, 'pages' => $pages]));
    }
    // In turns, so that whatever else the machine does meets all of them.
    for ($round = 0; $round < $rounds; $round++) {
        foreach ($counts as $count) {
            foreach ($workers as $label => $processes) {
                $play = ['do' => 'measure', 'offset' => 0, 'pages' => array_merge(...array_fill(0, $repeats[$label], $pages))];
                $began = hrtime(true);
                Worker::askAll(array_slice($processes, 0, $count), array_fill(0, $count, $play));
                $rates[$label][$count][] = $count * count($play['pages']) * 1e9 / (hrtime(true) - $began);
            }
            $bench->screen->progress('measurements', $round * count($counts) + array_search($count, $counts) + 1, $rounds * count($counts));
        }
    }
    $rows = $bars = [];
    foreach ($rates as $label => $of) {
        $medians = array_map([Measures::class, 'median'], $of);
        $rows[] = [$label, ...array_map(fn($rate) => sprintf('%.1f', $rate), $medians), sprintf('%.1f x', end($medians) / reset($medians))];
        foreach ($medians as $count => $rate) {
            $bars["{$label}, {$count}"] = $rate;
        }
    }
    $bench->screen->line();
    $bench->screen->table(['pages a second, processes:', ...array_map('strval', $counts), 'eight to one'], $rows);
    $bench->screen->line("Medians of {$rounds} rounds. The processes of all stores share this machine's processors with the replay itself.");
    $bench->chart('scaling', 'One to eight processes, 0.6 ms an operation', 'pages a second', $bars);
};
