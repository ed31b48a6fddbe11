<?php
/**
 * After a purge: how often processes of one node compute the same value.
 *
 *     php -d extension=…/liblarder_php.so benches/php/stampede.php SOCKET [MICROSECONDS]
 *
 * SOCKET is that of a Redis server. 2, 8 and 64 processes that hold all values of the recording read all its keys, 200 a request, and
 * compute what they miss, which takes MICROSECONDS. Once they share the directory by which processes of a node know of each other's
 * computing; once each has one of its own, as if each was a node: then nobody waits for anybody.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

require_once __DIR__ . '/lib/recording.php';
require_once __DIR__ . '/lib/screen.php';
require_once __DIR__ . '/lib/targets.php';

const KEYS_A_REQUEST = 200;

[, $socket] = $argv;
$microseconds = (int)($argv[2] ?? 2000);
$work = sys_get_temp_dir() . '/larder-bench-stampede-' . getmypid();
mkdir($work);
ini_set('default_socket_timeout', '3600');
putenv('XDG_RUNTIME_DIR');
$recording = new Recording(dirname(__DIR__) . '/data/moodle45');

/** The store's caches by definition. */
function caches(array $definitions, string $socket, string $namespace): array {
    $store = \Larder\Store::open(['server' => "redis+unix://{$socket}", 'namespace' => $namespace, 'read_timeout' => 30, 'connect_timeout' => 30]);
    return [$store, array_map(fn($definition) => $store->cache($definition), array_combine($definitions, $definitions))];
}

/** A new request, as far as this build of the extension can begin one. */
function next_request(\Larder\Store $store): void {
    function_exists('larder_probe_next_request') ? larder_probe_next_request() : $store->sync();
}

/** What one process does: it computes what it misses; how often for each key. */
function read_all(array $items, \Larder\Store $store, array $caches, int $microseconds): array {
    $computed = [];
    foreach ($items as $number => [$definition, $key, $value]) {
        $number % KEYS_A_REQUEST === 0 && next_request($store);
        // Some of the values are null.
        if ($caches[$definition]->get($key, 'missing') === 'missing') {
            usleep($microseconds);
            $caches[$definition]->set($key, $value);
            $computed[] = "{$definition}/{$key}";
        }
    }
    next_request($store);
    return $computed;
}

/** Starts a process; it does a step each time that it is sent a line, and answers with a line. */
function start(array $steps): array {
    [$here, $there] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
    $pid = pcntl_fork();
    if ($pid === 0) {
        fclose($here);
        foreach ($steps as $step) {
            fgets($there);
            fwrite($there, json_encode($step()) . "\n");
        }
        posix_kill(getmypid(), SIGKILL);
    }
    fclose($there);
    return [$pid, $here];
}

$items = [];
foreach ($recording->values as $definition => $values) {
    foreach ($values as $key => $value) {
        $items[] = [$definition, (string)$key, $value];
    }
}
$definitions = array_keys($recording->values);
$screen = new Screen();
$targets = new Targets();
$rows = [];
foreach ([2, 8, 64] as $count) {
    foreach (['waiting for each other' => true, 'each for itself' => false] as $label => $shared) {
        $processes = [];
        for ($i = 0; $i < $count; $i++) {
            $state = new class {
                public \Larder\Store $store;
                public array $caches;
            };
            $node = $work . ($shared ? '' : "/{$count}-{$i}");
            is_dir($node) || mkdir($node);
            $from = intdiv(count($items), 4) * ($i % 4);
            $own = [...array_slice($items, $from), ...array_slice($items, 0, $from)];
            $processes[] = start([
                function () use ($state, $node, $definitions, $socket, $count, $shared, $own) {
                    putenv("TMPDIR={$node}");
                    [$state->store, $state->caches] = caches($definitions, $socket, "n{$count}" . ($shared ? 's' : 'o'));
                    return count(read_all($own, $state->store, $state->caches, 0));
                },
                fn() => array_map(fn($cache) => $cache->purge(), $state->caches),
                fn() => read_all($own, $state->store, $state->caches, $microseconds),
            ]);
        }
        $tell = function (array $processes): array {
            array_map(fn($process) => fwrite($process[1], "go\n"), $processes);
            return array_map(fn($process) => json_decode(fgets($process[1]), true), $processes);
        };
        // The first fills the store, the others warm up. Each purges, so that all know; nobody reads before the last has done so.
        array_map(fn($process) => $tell([$process]), array_slice($processes, 0, 1));
        $tell(array_slice($processes, 1));
        array_map(fn($process) => $tell([$process]), $processes);
        $began = hrtime(true);
        $computed = array_count_values(array_merge(...$tell($processes)));
        $rows[] = [
            (string)$count,
            $label,
            sprintf('%.2f', array_sum($computed) / count($items)),
            (string)max($computed),
            sprintf('%.1f s', (hrtime(true) - $began) / 1e9),
        ];
        $shared && $targets->atMost("{$count} processes: computations a key", array_sum($computed) / count($items), 2, '');
        array_map(fn($process) => pcntl_waitpid($process[0], $status), $processes);
    }
}
$screen->table(['processes', 'each miss', 'computations a key', 'most for a key', 'all have all'], $rows);
$screen->line(sprintf('%d keys, %.1f ms to compute each.', count($items), $microseconds / 1000));
$targets->show($screen);
exec('rm -rf ' . escapeshellarg($work));
