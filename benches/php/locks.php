<?php
/**
 * Handing a lock over: eight processes queue for one lock and work for a millisecond each.
 *
 *     php -d extension=…/liblarder_php.so benches/php/locks.php PORT [ROUNDS]
 *
 * PORT is that of a Redis server on the loopback interface. Larder on that server, Larder on a local directory, and the way
 * of Moodle's Redis store (SET NX, polled with sleep(1), released by GET then DEL) take turns in one run. A hand-over
 * lasts from the moment before a holder releases to the moment after the next has the lock. Beside it stand two round
 * trips: one after the other by a process that does nothing else, and, as a hand-over finds it, by each process that
 * queues, after it slept. A local directory has no server: there the round trip is a byte to another process and back.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

use Larder\Store;
use Redis;
use RuntimeException;

require_once __DIR__ . '/lib/screen.php';
require_once __DIR__ . '/lib/targets.php';

const PROCESSES = 8;
const WORK_MICROS = 1000;
const STEP_MICROS = 15000;
const LARDER_REDIS = 'larder, Redis';
const LARDER_LOCAL = 'larder, local:';
const CORE = 'core Redis store';

[, $port] = $argv;
$rounds = (int)($argv[2] ?? 20);
$work = sys_get_temp_dir() . '/larder-bench-locks-' . getmypid();
mkdir($work);

/** How each store takes and gives back the lock: [acquire, release, one round trip]. */
$stores = [
    LARDER_REDIS => fn() => larder("redis://127.0.0.1:{$port}"),
    LARDER_LOCAL => fn() => [...array_slice(larder("local:{$work}/store?size=16M"), 0, 2), echo_process()],
    CORE => function () use ($port): array {
        $redis = new Redis();
        $redis->connect('127.0.0.1', (int)$port);
        $owner = uniqid('', true);
        return [
            function () use ($redis, $owner): void {
                while (!$redis->set('bench-lock', $owner, ['nx', 'ex' => 600])) {
                    sleep(1);
                }
            },
            function () use ($redis, $owner): void {
                if ($redis->get('bench-lock') === $owner) {
                    $redis->del('bench-lock');
                }
            },
            fn() => $redis->get('bench-nothing'),
        ];
    },
];

function larder(string $server): array {
    $store = Store::open(['server' => $server, 'namespace' => 'benchlocks', 'lock_lease' => 2, 'read_timeout' => 2]);
    $cache = $store->cache('bench', ['near' => false]);
    return [
        function () use ($cache): void {
            if (!$cache->acquireLock('lock', 'bench', 600)) {
                throw new RuntimeException('no lock');
            }
        },
        fn() => $cache->releaseLock('lock', 'bench'),
        fn() => $cache->get('nothing'),
    ];
}

/** A process that sends each byte back, until its other end is gone. What sends one and waits for it. */
function echo_process(): callable {
    [$here, $there] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, STREAM_IPPROTO_IP);
    if (pcntl_fork() === 0) {
        fclose($here);
        while (($byte = fread($there, 1)) !== '' && $byte !== false) {
            fwrite($there, $byte);
        }
        posix_kill(getmypid(), SIGKILL);
    }
    fclose($there);
    return function () use ($here): void {
        fwrite($here, '.');
        fread($here, 1);
    };
}

/** Seconds on a clock that all processes share. */
function now(): float {
    return hrtime(true) / 1e9;
}

/** Seconds that a call takes. */
function seconds(callable $call): float {
    $start = now();
    $call();
    return now() - $start;
}

/** What so much of the numbers is below. */
function quantile(array $numbers, float $part): float {
    sort($numbers);
    return $numbers[(int)(count($numbers) * $part)] ?? NAN;
}

/**
 * Lets processes queue one after the other behind this one, and then releases.
 *
 * @return array{float[], float[], float, bool} Hand-overs, round trips, the time of all, whether the order of arrival was kept.
 */
function queue(callable $open, callable $acquire, callable $release, string $work): array {
    $acquire();
    $children = [];
    for ($number = 0; $number < PROCESSES; $number++) {
        $child = pcntl_fork();
        if ($child === 0) {
            [$get, $give, $trip] = $open();
            $trip();
            usleep(($number + 1) * STEP_MICROS);
            $cold = seconds($trip);
            $arrived = now();
            $get();
            $got = now();
            do {
                $left = $got + WORK_MICROS / 1e6 - now();
            } while ($left > 0);
            $given = now();
            $give();
            file_put_contents("{$work}/{$number}", json_encode([$got, $given, $arrived, $cold]));
            posix_kill(getmypid(), SIGKILL);
        }
        $children[] = $child;
    }
    usleep((PROCESSES + 4) * STEP_MICROS);
    $start = now();
    $release();
    array_map(fn($child) => pcntl_waitpid($child, $status), $children);
    $times = array_map(fn($number) => json_decode(file_get_contents("{$work}/{$number}")), range(0, PROCESSES - 1));
    $order = $times;
    usort($order, fn($a, $b) => $a[0] <=> $b[0]);
    usort($times, fn($a, $b) => $a[2] <=> $b[2]);
    $before = $start;
    $handovers = [];
    foreach ($order as [$got, $given]) {
        $handovers[] = $got - $before;
        $before = $given;
    }
    return [$handovers, array_column($times, 3), $before - $start, $order === $times];
}

$rows = $results = [];
foreach ($stores as $name => $open) {
    [$acquire, $release, $trip] = $open();
    $acquire();
    $release();
    $trips = array_map(fn() => seconds($trip), range(1, 2000));
    $handovers = $colds = $totals = [];
    $kept = 0;
    // Polling takes seconds for each holder.
    $repeat = $name === CORE ? max(1, intdiv($rounds, 10)) : $rounds;
    for ($round = 0; $round < $repeat; $round++) {
        [$some, $cold, $totals[], $ordered] = queue($open, $acquire, $release, $work);
        array_push($handovers, ...$some);
        array_push($colds, ...$cold);
        $kept += (int)$ordered;
    }
    $results[$name] = [1e3 * quantile($handovers, 0.5), 1e3 * quantile($colds, 0.5), $repeat - $kept];
    $rows[] = [
        $name,
        sprintf('%.0f µs', 1e6 * quantile($trips, 0.5)),
        sprintf('%.0f µs', 1e3 * $results[$name][1]),
        sprintf('%.3f ms', $results[$name][0]),
        sprintf('%.3f ms', 1e3 * quantile($handovers, 0.95)),
        sprintf('%.1f ms', 1e3 * quantile($totals, 0.5)),
        "{$kept} of {$repeat}",
    ];
    unset($acquire, $release, $trip);
}
$screen = new Screen();
$screen->table(
    ['store', 'round trip', 'after a sleep', 'hand-over: median', 'p95', '8 × 1 ms take', 'order kept'],
    $rows,
);
$targets = new Targets();
foreach ([LARDER_REDIS, LARDER_LOCAL] as $name) {
    [$handover, $cold, $disordered] = $results[$name];
    $targets->atMost("{$name}: median hand-over", $handover, 2, 'ms');
    $targets->atMost("{$name}: of the round trip after a sleep", $handover / $cold, 3, '×');
    $targets->atMost("{$name}: rounds out of the order of arrival", $disordered, 0, '');
}
$targets->show($screen);
array_map('unlink', array_merge(glob("{$work}/[0-9]") ?: [], glob("{$work}/store/larder.wake/*") ?: []));
@rmdir("{$work}/store/larder.wake");
array_map('unlink', glob("{$work}/store/*") ?: []);
@rmdir("{$work}/store");
rmdir($work);
