<?php
/**
 * Compares stores on the recorded pages. `make bench` runs it.
 *
 *     php bench.php EXTENSION DIRECTORY DELAY RESULTS [PASSES]
 *
 * DIRECTORY is for scratch files and holds the socket "redis.sock" of a Redis server; DELAY is the port of a proxy that
 * delays the answers of the same server by 0.3 ms; RESULTS is the file for the charts.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

foreach (['recording', 'worker', 'measures', 'comparison', 'machine', 'screen'] as $file) {
    require __DIR__ . "/lib/{$file}.php";
}

[, $extension, $directory, $delay, $results] = $argv;
$passes = (int)($argv[5] ?? 5);
$data = dirname(__DIR__) . '/data/moodle45';
$php = [PHP_BINARY, '-n', '-d', 'memory_limit=512M'];
$larder = [...$php, '-d', "extension={$extension}"];
$redis = [...$php, '-d', 'extension=igbinary', ...(is_file(ini_get('extension_dir') . '/msgpack.so') ? ['-d', 'extension=msgpack'] : []), '-d', 'extension=redis'];
$apcu = [...$php, '-d', 'extension=apcu', '-d', 'apc.enable_cli=1', '-d', 'apc.shm_size=256M'];
$worker = fn(array $command, string $store, string $target) =>
    new Worker($command, ['recording' => $data, 'store' => $store, 'target' => $target]);

$screen = new Screen();
$machine = machine($directory);
$count = count((new Recording($data))->requests);
$charts = [];
// Charts name the machine, not the scratch directory.
$processor = preg_replace('/ · [^·]*$/u', '', $machine);

/** Shows measured stores as a table and keeps them as a chart. */
$show = function (string $name, string $title, array $measured) use ($screen, $processor, &$charts): void {
    $rows = $bars = [];
    $ours = null;
    foreach ($measured as $label => $measures) {
        $time = $measures->milliseconds();
        $ours ??= $time;
        $rows[] = [$label, sprintf('%.3f ms', $time), sprintf('%.2f x', $time / $ours), sprintf('%.1f', $measures->perPage('trips')), sprintf('%.1f %%', 100 * $measures->hitRate())];
        $bars[] = ['label' => $label, 'value' => $time];
    }
    $screen->line();
    $screen->table(['store', 'time a page', 'to the first', 'round trips a page', 'hit rate'], $rows);
    $screen->line('Of each page the median of its replays, after a warm-up pass that compares every value.');
    $charts[] = ['name' => $name, 'title' => "{$title}; {$processor}", 'unit' => 'ms in the store a page', 'bars' => $bars];
};

$screen->title('pages: stores on recorded pages of Moodle 4.5, warm, one process each');
$screen->line($machine);
$stores = [
    'Larder, Redis (Unix socket)' => [$worker($larder, 'larder', "redis+unix://{$directory}/redis.sock")],
    'Larder, local:' => [$worker($larder, 'larder', "local:{$directory}/larder")],
    "file store's way" => [$worker($php, 'file', "{$directory}/files")],
    'phpredis (Unix socket)' => [$worker($redis, 'redis', "{$directory}/redis.sock")],
    'phpredis with igbinary' => [$worker($redis, 'redis-igbinary', "{$directory}/redis.sock")],
    'APCu' => [$worker($apcu, 'apcu', '')],
    'a PHP array: the limit' => [$worker($php, 'memory', '')],
];
$show('pages', 'Store time of a warm Moodle page', compare($stores, $count, $passes, $screen));
$stores = null;

$screen->title('delay: the same with a network that takes 0.3 ms');
$stores = [
    'Larder, Redis at 0.3 ms' => [$worker($larder, 'larder', "redis://127.0.0.1:{$delay}/1")],
    'phpredis at 0.3 ms' => [$worker($redis, 'redis', "127.0.0.1:{$delay}")],
    'a PHP array: the limit' => [$worker($php, 'memory', '')],
];
$show('delay', 'Store time of a warm Moodle page, network of 0.3 ms', compare($stores, $count, min($passes, 2), $screen));
$stores = null;

$screen->title('cold: the first page of a new process, after another has warmed the store');
$rows = $bars = [];
foreach (
    [
        'Larder, Redis at 0.3 ms' => [$larder, 'larder', "redis://127.0.0.1:{$delay}/2"],
        'Larder, Redis (Unix socket)' => [$larder, 'larder', "redis+unix://{$directory}/redis.sock?db=3"],
        'Larder, local:' => [$larder, 'larder', "local:{$directory}/cold"],
        'phpredis at 0.3 ms' => [$redis, 'redis', "127.0.0.1:{$delay}"],
        'phpredis (Unix socket)' => [$redis, 'redis', "{$directory}/redis.sock"],
    ] as $label => $store
) {
    foreach ([['do' => 'fill'], ['do' => 'verify', 'offset' => 0], ['do' => 'fill']] as $step) {
        $worker(...$store)->ask($step);
    }
    $first = $worker(...$store)->ask(['do' => 'first']);
    $rows[] = [$label, sprintf('%.3f ms', $first['nanoseconds'] / 1e6), (string)$first['trips']];
    $bars[] = ['label' => $label, 'value' => $first['nanoseconds'] / 1e6];
}
$screen->table(['store', 'first page', 'round trips'], $rows);
$screen->line('The page of the recording that reads most; one process each, so times are single ones.');
$charts[] = ['name' => 'cold', 'title' => "First page of a new process; {$processor}", 'unit' => 'ms in the store', 'bars' => $bars];

file_put_contents($results, json_encode($charts, JSON_THROW_ON_ERROR));
