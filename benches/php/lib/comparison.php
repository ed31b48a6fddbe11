<?php
/**
 * Replays one recording against several stores, turn by turn.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

/**
 * Lets every store play the recording once to warm up and then, in turns, as often as wanted. Taking turns gives all of
 * them the same share of whatever else the machine does.
 *
 * @param array<string, Worker[]> $stores The processes of each store, by its title.
 * @return array<string, Measures>
 */
function compare(array $stores, int $pages, int $passes, Screen $screen): array {
    $all = $pages * (1 + $passes) * array_sum(array_map('count', $stores));
    $done = 0;
    $screen->progress('pages', 0, $all);
    foreach ($stores as $workers) {
        $workers[0]->ask(['do' => 'fill']);
    }
    for ($pass = 0; $pass <= $passes; $pass++) {
        foreach ($stores as $workers) {
            $count = count($workers);
            // Every process begins with another page.
            $commands = array_map(
                fn($i) => ['do' => $pass === 0 ? 'verify' : 'measure', 'offset' => intdiv($i * $pages, $count)],
                range(0, $count - 1),
            );
            Worker::askAll($workers, $commands, fn($now) => $screen->progress('pages', $done + $now, $all));
            $done += $pages * $count;
            $screen->progress('pages', $done, $all);
        }
    }
    return array_map(
        fn($workers) => new Measures(array_map(fn($worker) => $worker->ask(['do' => 'results']), $workers)),
        $stores,
    );
}
