<?php
/**
 * A shared directory whose every operation takes 0.6 ms, as on EFS: warm pages, and the first page of a new process.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

require_once dirname(__DIR__) . '/lib/slow_mount.php';

return function (Bench $bench): void {
    $bench->begin('slow: a shared directory with 0.6 ms an operation');
    $mount = SlowMount::for($bench, 'slow');
    if ($mount === null) {
        return;
    }
    $stores = $mount->stores($bench);
    [$tiered, , $files] = array_keys($stores);

    $rows = $first = [];
    foreach ($stores as $label => $start) {
        $times = $requests = [];
        for ($process = 0; $process < 3; $process++) {
            $new = $start();
            $before = $mount->requests();
            $times[] = $new->ask(['do' => 'first'])['nanoseconds'] / 1e6;
            $requests[] = $mount->requests() - $before;
        }
        $first[$label] = Measures::median($times);
        $rows[] = [$label, sprintf('%.2f ms', $first[$label]), (string)Measures::median($requests)];
    }
    $bench->screen->line();
    $bench->screen->table(['store', 'first page of a new process', 'requests to the filesystem'], $rows);
    $bench->screen->line('The page of the recording that does most among those that write nothing; the median of three processes.');
    $bench->chart('slow-first', 'First page of a new process, 0.6 ms an operation', 'ms in the store', $first);

    // The file store takes half a second for a page, so it plays only every fourth; times are compared on those.
    $some = range(0, $bench->pages - 1, 4);
    $measured = $sent = [];
    foreach ($stores as $label => $start) {
        [$pages, $passes] = SlowMount::isLarder($label) ? [range(0, $bench->pages - 1), 3] : [$some, 1];
        $warm = $start();
        $warm->ask(['do' => 'verify', 'offset' => 0, 'pages' => $pages]);
        $before = $mount->requests();
        for ($pass = 0; $pass < $passes; $pass++) {
            $warm->ask(['do' => 'measure', 'offset' => 0, 'pages' => $pages]);
        }
        $sent[$label] = ($mount->requests() - $before) / ($passes * count($pages));
        $measured[$label] = new Measures([$warm->ask(['do' => 'results'])]);
    }
    $reading = array_values(array_intersect($some, $bench->readers));
    $times = array_map(fn($measures) => $measures->milliseconds($some), $measured);
    $bench->screen->line();
    $bench->screen->table(['store', 'warm page', 'reading page', 'requests to the filesystem'], array_map(fn($label) => [
        $label,
        sprintf('%.2f ms', $times[$label]),
        sprintf('%.2f ms', $measured[$label]->milliseconds($reading)),
        sprintf('%.1f', $sent[$label]),
    ], array_keys($stores)));
    $bench->screen->line();
    $bench->screen->table(["Larder's filesystem calls", 'median page', 'average page', 'reading page', 'most'], array_map(fn($label) => [
        $label,
        (string)$measured[$label]->ofMedianPage('trips'),
        sprintf('%.2f', $measured[$label]->perPage('trips')),
        sprintf('%.2f', $measured[$label]->perPage('trips', $bench->readers)),
        (string)$measured[$label]->most('trips'),
    ], array_filter(array_keys($stores), [SlowMount::class, 'isLarder'])));
    $bench->screen->line(sprintf('Calls are of all %d pages, times of %d of them.', $bench->pages, count($some)));
    $bench->screen->line(sprintf('%d pages change nothing: the reading pages. Any other waits for its changes to be acknowledged.', count($bench->readers)));
    $bench->chart('slow', 'Store time of a warm Moodle page, 0.6 ms an operation', 'ms in the store a page', $times);

    $ours = $measured[$tiered];
    (new Targets())
        ->share("warm page, of the time of the file store's way", $times[$tiered], $times[$files], 100)
        ->atMost('filesystem calls of the median warm page', $ours->ofMedianPage('trips'), 6, '')
        ->atMost('filesystem calls of the average warm page', $ours->perPage('trips'), 6, '')
        ->atMost('filesystem calls of a warm page that changes nothing', $ours->perPage('trips', $bench->readers), 6, '')
        ->share("first page of a new process on a warm node, of the time of the file store's way", $first[$tiered], $first[$files], 20)
        ->show($bench->screen);
};
