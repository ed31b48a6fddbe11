<?php
/**
 * Completed pages around a restart of Redis.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

require_once dirname(__DIR__) . '/lib/outage.php';

return function (Bench $bench): void {
    [$before, $after, $compute] = [5, 12, 1000];
    $bench->begin("gap: completed pages a second, Redis killed after {$before} s and restarted empty 0.3 s later");
    $stores = [
        'Larder' => fn($outage) => [$outage->before(), []],
        'Larder, fallback local:' => fn($outage) => [$outage->before("local:{$outage->directory()}/fallback"), []],
        'Larder, fallback dir:' => fn($outage) => [$outage->before("dir:{$outage->directory()}/shared"), []],
        'phpredis' => fn($outage) => [[], ['redis' => $outage->address()]],
    ];
    $rows = $lines = [];
    $targets = new Targets();
    foreach ($stores as $label => $make) {
        $outage = new Outage($bench->extension, $bench->recording());
        [$options, $work] = $make($outage);
        $work += ['compute' => $compute];
        $outage->play([$label => $options], 6, $work);
        $outage->restart($before, 0.3);
        $requests = $outage->play([$label => $options], $before + $after, $work)[$label];
        $seconds = array_fill(0, $before + $after, 0);
        foreach ($requests as $request) {
            $seconds[min((int)$request['at'], $before + $after - 1)] += (int)($request['failed'] === '');
        }
        $usual = array_sum(array_slice($seconds, 1, $before - 1)) / ($before - 1);
        $slow = count(array_filter(array_slice($seconds, $before), fn($pages) => $pages < $usual / 2));
        $failed = count(array_filter(array_column($requests, 'failed')));
        $longest = max(array_column($requests, 'nanoseconds')) / 1e9;
        $rows[] = [$label, sprintf('%.0f', $usual), (string)$slow, (string)$failed, sprintf('%.2f s', $longest)];
        $lines[] = sprintf('%-24s %s', $label, implode(' ', array_map(fn($pages) => sprintf('%3d', $pages), $seconds)));
        if ($label !== 'phpredis') {
            $targets
                ->atMost("{$label}: seconds under half of the usual pace", $slow, str_contains($label, 'dir:') ? 4 : 2, 's')
                ->atMost("{$label}: longest store time of a request", $longest, 1.5, 's')
                ->atMost("{$label}: failed pages", $failed, 0, '');
        }
        unset($outage);
    }
    $bench->screen->line();
    array_map($bench->screen->line(...), $lines);
    $bench->screen->line();
    $bench->screen->table(['store', 'pages a second', 'slow seconds', 'failed pages', 'longest store time'], $rows);
    $bench->screen->line(sprintf('Each value that a page stores takes %.0f ms to compute, the first of them under a lock, a page 20 ms beside.', $compute / 1000));
    $targets->show($bench->screen);
};
