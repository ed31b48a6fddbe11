<?php
/**
 * Pages of four workers of php-fpm while Redis stalls, for both kinds of fallback.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

require_once dirname(__DIR__) . '/lib/outage.php';

return function (Bench $bench): void {
    $bench->begin('stall: four workers of php-fpm while Redis stalls');
    $seconds = (int)(getenv('STALL') ?: 30);
    $median = function (array $measured): float {
        $times = array_column($measured, 'nanoseconds');
        sort($times);
        return $times[intdiv(count($times), 2)] / 1e6;
    };
    $longest = fn(array $measured): float => max(array_column($measured, 'nanoseconds')) / 1e6;
    $hits = fn(array $measured): float => 100 * array_sum(array_column($measured, 'hits')) / array_sum(array_column($measured, 'reads'));
    $rows = $events = [];
    $targets = new Targets();
    foreach (['local:', 'dir:'] as $kind) {
        $outage = new Outage($bench->extension, $bench->recording());
        $stores = [
            "Redis, fallback {$kind}" => $outage->before("{$kind}{$outage->directory()}/fallback"),
            "{$kind} alone" => ['server' => "{$kind}{$outage->directory()}/alone", 'namespace' => 'alone'],
        ];
        [$subject, $alone] = array_keys($stores);
        $outage->play($stores, 10);
        $phases = ['Redis is well' => $outage->play($stores, 5)];
        $outage->pause();
        $phases["stalled, {$seconds} s"] = $outage->play($stores, $seconds);
        $served = $outage->tier($stores[$subject]);
        $outage->resume();
        $phases['back, 15 s'] = $outage->play($stores, 15);
        $back = $outage->tier($stores[$subject]);
        foreach ($phases as $phase => $measured) {
            foreach ($measured as $label => $requests) {
                $rows[] = [
                    "{$label}: {$phase}",
                    number_format(count($requests)),
                    sprintf('%.2f ms', $median($requests)),
                    sprintf('%.0f ms', $longest($requests)),
                    sprintf('%.1f %%', $hits($requests)),
                    number_format(array_sum(array_column($requests, 'refused'))),
                ];
            }
        }
        $rows[] = [];
        $events[$kind] = $outage->events;
        $during = array_values($phases)[1];
        $all = array_merge(...array_column($phases, $subject));
        $targets
            ->atMost("fallback {$kind}: longest store time of any request", $longest($all) / 1000, 1, 's')
            ->atMost("fallback {$kind}: median in the outage, of that of {$kind} alone", $median($during[$subject]) / $median($during[$alone]), 3, 'x')
            ->holds("fallback {$kind}: serves in the outage, and Redis after it", [$served, $back], ['fallback', 'primary']);
        unset($outage);
    }
    array_pop($rows);
    $bench->screen->line();
    $bench->screen->table(['store', 'requests', 'median', 'longest', 'hit rate', 'sets refused'], $rows);
    $bench->screen->line('Store time of a request, the plugin\'s PHP included, as a page sees it: connecting, waiting and probing are in it.');
    $bench->screen->line('Whatever a page misses it stores. Both stores play the same pages in turns, four requests under way all the time.');
    foreach ($events as $kind => $lines) {
        $bench->screen->line();
        $bench->screen->line("logged with the fallback {$kind}:");
        array_map($bench->screen->line(...), $lines);
    }
    $targets->show($bench->screen);
};
