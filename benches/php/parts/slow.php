<?php
/**
 * A shared directory whose every operation takes 0.6 ms, as on EFS: warm pages, the first page of a new process, and
 * several processes at once.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

require_once dirname(__DIR__) . '/lib/slow_mount.php';

return function (Bench $bench): void {
    $bench->begin('slow: a shared directory with 0.6 ms an operation');
    $mount = SlowMount::at(dirname($bench->extension) . '/slow-mount', "{$bench->directory}/slow", 600);
    if ($mount === null) {
        $bench->screen->line('skipped: there is no FUSE here, so no slow filesystem');
        return;
    }
    $tier = ['node_tier' => "local:{$bench->directory}/tier"];
    $stores = [
        'Larder, dir: with node tier' => fn() => $bench->larder("dir:{$mount->path}/tiered", $tier),
        'Larder, dir:' => fn() => $bench->larder("dir:{$mount->path}/larder"),
        "file store's way" => fn() => $bench->files("{$mount->path}/files"),
    ];
    // Eight pages from all over the recording: the file store takes half a second for each.
    $pages = array_map(fn($i) => intdiv($i * $bench->pages, 8), range(0, 7));
    $play = ['do' => 'measure', 'offset' => 0, 'pages' => $pages];
    $warm_up = ['do' => 'verify'] + $play;
    $fill = function (string $label, callable $start) use ($warm_up): void {
        $start()->ask(['do' => 'fill']);
        // The process ends after its pages, and with it its requests: only then is the hot set written.
        $start()->ask(str_starts_with($label, 'Larder') ? ['do' => 'verify', 'offset' => 0] : $warm_up);
    };

    $rows = $times = $calls = $sent = $first = [];
    foreach ($stores as $label => $start) {
        $fill($label, $start);
        $new = $start();
        $before = $mount->requests();
        $firsts = $new->ask(['do' => 'first']);
        $requests = $mount->requests() - $before;
        $first[$label] = $firsts['nanoseconds'] / 1e6;
        $rows[] = [$label, sprintf('%.2f ms', $first[$label]), (string)$requests];
    }
    $bench->screen->line();
    $bench->screen->table(['store', 'first page of a new process', 'requests to the filesystem'], $rows);
    $bench->chart('slow-first', 'First page of a new process, 0.6 ms an operation', 'ms in the store', $first);

    $rows = [];
    foreach ($stores as $label => $start) {
        $warm = $start();
        $warm->ask($warm_up);
        $before = $mount->requests();
        $passes = str_starts_with($label, 'Larder') ? 3 : 1;
        for ($pass = 0; $pass < $passes; $pass++) {
            $warm->ask($play);
        }
        $sent[$label] = ($mount->requests() - $before) / ($passes * count($pages));
        $measured = new Measures([$warm->ask(['do' => 'results'])]);
        $times[$label] = $measured->milliseconds();
        $calls[$label] = $measured->quiet()[1];
        $rows[] = [$label, sprintf('%.2f ms', $times[$label]), sprintf('%.1f', $sent[$label]), sprintf('%.1f', $calls[$label])];
    }
    $bench->screen->line();
    $bench->screen->table(['store', 'warm page', 'requests to the filesystem', 'calls if it writes and misses nothing'], $rows);
    $bench->chart('slow', 'Store time of a warm Moodle page, 0.6 ms an operation', 'ms in the store a page', $times);

    $rows = $rates = [];
    foreach ([1, 2, 4, 8] as $count) {
        foreach (array_slice($stores, 0, 1) + array_slice($stores, 2) as $label => $start) {
            $workers = array_map(fn() => $start(), range(1, $count));
            $larder = str_starts_with($label, 'Larder');
            $passes = $larder ? 10 : 1;
            Worker::askAll($workers, array_fill(0, $count, $larder ? $warm_up : ['do' => 'page']));
            $began = hrtime(true);
            for ($pass = 0; $pass < $passes; $pass++) {
                Worker::askAll($workers, array_fill(0, $count, $play));
            }
            $seconds = (hrtime(true) - $began) / 1e9;
            $bar = "{$label}, {$count}";
            $rates[$bar] = $count * $passes * count($pages) / $seconds;
            $rows[] = [$label, (string)$count, sprintf('%.1f', $rates[$bar])];
        }
    }
    $bench->screen->line();
    $bench->screen->table(['store', 'processes', 'pages a second'], $rows);
    $bench->chart('scaling', 'One to eight processes, 0.6 ms an operation', 'pages a second', $rates);

    [$tiered, , $files] = array_keys($stores);
    (new Targets())
        ->share("warm page, of the time of the file store's way", $times[$tiered], $times[$files], 100)
        ->atMost('requests to the filesystem, of the average warm page', $sent[$tiered], 6, '')
        ->atMost('filesystem calls of a warm page that writes nothing and misses nothing', $calls[$tiered], 6, '')
        ->share("first page of a new process on a warm node, of the time of the file store's way", $first[$tiered], $first[$files], 20)
        ->show($bench->screen);
};
