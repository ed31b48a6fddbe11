<?php
/**
 * Completed pages around a restart of Redis, an outage and a purge.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

require_once dirname(__DIR__) . '/lib/outage.php';

return function (Bench $bench): void {
    // Seconds that are played before the fault and after its end; microseconds that a value costs.
    [$before, $after, $compute] = [5, 10, 1000];
    $bench->begin("gap: completed pages a second around a fault after {$before} s");
    // How long the server is away, whether it comes back with a snapshot; null = it stays, and everything is purged.
    $faults = ['killed, back empty' => [0.3, false], 'killed, back with an old snapshot' => [0.3, true], 'killed, away for 8 s' => [8, false], 'purged' => null];
    $stores = ['Larder' => '', 'Larder, fallback local:' => 'local', 'Larder, fallback dir:' => 'dir', 'phpredis' => null];
    $rows = [];
    $targets = new Targets();
    foreach ($faults as $fault => $outline) {
        [$away, $snapshot] = $outline ?? [0, false];
        $bench->screen->line();
        $bench->screen->line("{$fault}:");
        foreach ($stores as $label => $fallback) {
            $outage = new Outage($bench->extension, $bench->recording());
            $options = $outage->before($fallback ? "{$fallback}:{$outage->directory()}/fallback" : '');
            $work = ['compute' => $compute] + ($fallback === null ? ['redis' => $outage->address()] : []);
            $outage->play([$label => $options], 4, $work);
            if ($snapshot) {
                $outage->save();
            }
            if ($outline) {
                $outage->restart($before, $away);
            }
            $length = (int)ceil($before + $away + $after);
            $requests = $outage->play([$label => $options], $length, $work, $outline ? 0 : $before)[$label];
            unset($outage);
            $times = array_column(array_filter($requests, fn($request) => $request['failed'] === ''), 'at');
            // Completed pages a second from some moment on.
            $pages = function (float $from, float $to) use ($times): array {
                $seconds = array_fill(0, (int)($to - $from), 0);
                foreach ($times as $time) {
                    $second = (int)floor($time - $from);
                    isset($seconds[$second]) && $seconds[$second]++;
                }
                return $seconds;
            };
            $usual = array_sum($pages(1, $before)) / ($before - 1);
            $below = fn(float $from, float $to): int => count(array_filter($pages($from, $to), fn($done) => $done < $usual / 2));
            // Without a fallback nothing is expected of a store while its server is away.
            [$slow, $back] = match (true) {
                !$fallback => [$below($before + $away, $length), null],
                $away > 1 => [$below($before, $before + $away), $below($before + $away, $length)],
                default => [$below($before, $length), null],
            };
            $failed = count($requests) - count($times);
            $longest = max(array_column($requests, 'nanoseconds')) / 1e9;
            $rows[] = [
                "{$fault}: {$label}",
                sprintf('%.0f', $usual),
                "{$slow} s",
                $back === null ? '' : "{$back} s",
                (string)$failed,
                sprintf('%.2f s', $longest),
            ];
            $bench->screen->line(sprintf('  %-24s %s', $label, implode(' ', array_map(fn($done) => sprintf('%3d', $done), $pages(0, $length)))));
            if ($fallback !== null) {
                $what = "{$label}, {$fault}";
                $targets->atMost("{$what}: slow seconds", $slow, $fallback === 'dir' && $outline ? 4 : 2, 's');
                $back === null || $targets->atMost("{$what}: slow seconds after the return", $back, 2, 's');
                $targets->atMost("{$what}: longest store time of a request", $longest, 1.5, 's')->atMost("{$what}: failed pages", $failed, 0, '');
            }
        }
        $rows[] = [];
    }
    array_pop($rows);
    $bench->screen->line();
    $bench->screen->table(['fault and store', 'pages a second', 'slow seconds', 'after the return', 'failed', 'longest store time'], $rows);
    $bench->screen->line('Four workers of php-fpm, four requests under way all the time. In a slow second fewer than half of the usual pages complete,');
    $bench->screen->line('counted from when the server, or the fallback, can serve. The way into a shared fallback takes 2.2 s in which nothing is cached (R9).');
    $bench->screen->line(sprintf('Each value that a page stores takes %.0f ms to compute, the first of them under a lock, a page %.0f ms beside.', $compute / 1000, 20 * $compute / 1000));
    $targets->show($bench->screen);
};
