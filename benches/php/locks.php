<?php
/**
 * Handing a lock over: eight processes queue for one lock and work for a millisecond each.
 *
 *     php -d extension=…/liblarder_php.so benches/php/locks.php SOCKET [ROUNDS]
 *
 * SOCKET is that of a Redis server. Larder on that server, Larder on a local directory, and the way of Moodle's Redis store
 * (SET NX, polled with sleep(1), released by GET then DEL) take turns in one run. A hand-over lasts from the moment
 * before a holder releases to the moment after the next has the lock. Prints a table.
 *
 * @license MIT OR Apache-2.0
 */

const PROCESSES = 8;
const WORK_MICROS = 1000;

[, $socket] = $argv;
$rounds = (int)($argv[2] ?? 20);
$work = sys_get_temp_dir() . '/larder-bench-locks-' . getmypid();
mkdir($work);

/** How each store takes and gives back the lock: [acquire, release, one round trip]. */
$stores = [
    'larder, Redis' => fn() => larder("redis+unix://{$socket}"),
    'larder, local:' => fn() => larder("local:{$work}/store?size=16M"),
    'core Redis store' => function () use ($socket): array {
        $redis = new Redis();
        $redis->connect($socket);
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
    $store = Larder\Store::open(['server' => $server, 'namespace' => 'benchlocks', 'lock_lease' => 2, 'read_timeout' => 2]);
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

/** Seconds on a clock that all processes share. */
function now(): float {
    return hrtime(true) / 1e9;
}

function median(array $numbers): float {
    sort($numbers);
    return $numbers ? $numbers[intdiv(count($numbers), 2)] : NAN;
}

printf("%-18s %12s %12s %12s %14s %s\n", 'store', 'round trip', 'median', 'p95', '8 x 1 ms take', 'order of arrival kept');
foreach ($stores as $name => $open) {
    [$acquire, $release, $trip] = $open();
    $acquire();
    $release();
    $trips = [];
    for ($i = 0; $i < 2000; $i++) {
        $start = now();
        $trip();
        $trips[] = now() - $start;
    }
    $handovers = $totals = [];
    $kept = 0;
    // Polling takes seconds for each holder.
    $repeat = $name === 'core Redis store' ? max(1, intdiv($rounds, 10)) : $rounds;
    for ($round = 0; $round < $repeat; $round++) {
        $acquire();
        $children = [];
        for ($number = 0; $number < PROCESSES; $number++) {
            $child = pcntl_fork();
            if ($child === 0) {
                [$get, $give] = $open();
                // Arrive one after the other.
                usleep(($number + 1) * 15000);
                $arrived = now();
                $get();
                $got = now();
                do {
                    $left = $got + WORK_MICROS / 1e6 - now();
                } while ($left > 0);
                $given = now();
                $give();
                file_put_contents("{$work}/{$number}", json_encode([$got, $given, $arrived]));
                posix_kill(getmypid(), SIGKILL);
            }
            $children[] = $child;
        }
        usleep((PROCESSES + 4) * 15000);
        $start = now();
        $release();
        array_map(fn($child) => pcntl_waitpid($child, $status), $children);
        $times = array_map(fn($number) => json_decode(file_get_contents("{$work}/{$number}")), range(0, PROCESSES - 1));
        $order = $times;
        usort($order, fn($a, $b) => $a[0] <=> $b[0]);
        usort($times, fn($a, $b) => $a[2] <=> $b[2]);
        $kept += (int)($order === $times);
        $before = $start;
        foreach ($order as [$got, $given]) {
            $handovers[] = $got - $before;
            $before = $given;
        }
        $totals[] = $before - $start;
    }
    sort($handovers);
    printf(
        "%-18s %9.0f us %9.3f ms %9.3f ms %11.1f ms %d of %d\n",
        $name,
        median($trips) * 1e6,
        median($handovers) * 1e3,
        $handovers[(int)(count($handovers) * 0.95)] * 1e3,
        median($totals) * 1e3,
        $kept,
        $repeat,
    );
}
array_map('unlink', array_merge(glob("{$work}/[0-9]") ?: [], glob("{$work}/store/larder.wake/*") ?: []));
@rmdir("{$work}/store/larder.wake");
array_map('unlink', glob("{$work}/store/*") ?: []);
@rmdir("{$work}/store");
rmdir($work);
