<?php
/**
 * Compares stores on the recorded pages, one process each, one after the other. `make bench` runs it.
 *
 *     php bench.php EXTENSION DIRECTORY [PASSES]
 *
 * DIRECTORY is for scratch files and holds the socket "redis.sock" of a Redis server.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

foreach (['recording', 'worker', 'measures', 'comparison', 'machine', 'screen'] as $file) {
    require __DIR__ . "/lib/{$file}.php";
}

[, $extension, $directory] = $argv;
$passes = (int)($argv[3] ?? 5);
$data = dirname(__DIR__) . '/data/moodle45';
$php = [PHP_BINARY, '-n', '-d', 'memory_limit=512M'];
$larder = [...$php, '-d', "extension={$extension}"];
$redis = [...$php, '-d', 'extension=igbinary', ...(is_file(ini_get('extension_dir') . '/msgpack.so') ? ['-d', 'extension=msgpack'] : []), '-d', 'extension=redis'];
$apcu = [...$php, '-d', 'extension=apcu', '-d', 'apc.enable_cli=1', '-d', 'apc.shm_size=256M'];

$screen = new Screen();
$count = count((new Recording($data))->requests);
$screen->title('Stores on recorded pages of Moodle 4.5, one process each');
$screen->line(machine($directory));
$screen->line();

$stores = [];
foreach (
    [
        ['Larder, local:', 'larder', "local:{$directory}/larder", $larder],
        ['Larder, Redis (Unix socket)', 'larder', "redis+unix://{$directory}/redis.sock", $larder],
        ["file store's way", 'file', "{$directory}/files", $php],
        ['phpredis (Unix socket)', 'redis', "{$directory}/redis.sock", $redis],
        ['phpredis with igbinary', 'redis-igbinary', "{$directory}/redis.sock", $redis],
        ['APCu', 'apcu', '', $apcu],
        ['a PHP array: the limit', 'memory', '', $php],
    ] as [$title, $store, $target, $command]
) {
    $stores[$title] = [new Worker($command, ['recording' => $data, 'store' => $store, 'target' => $target])];
}
$rows = [];
foreach (compare($stores, $count, $passes, $screen) as $title => $measures) {
    $rows[] = [
        $title,
        sprintf('%.3f ms', $measures->milliseconds()),
        sprintf('%.1f', $measures->perPage('trips')),
        sprintf('%.1f %%', 100 * $measures->hitRate()),
    ];
}
$screen->line();
$screen->table(['store', 'time a page', 'round trips a page', 'hit rate'], $rows);
$screen->line('Of each page the median of its replays, after a warm-up pass that compares every value.');
$screen->line();
