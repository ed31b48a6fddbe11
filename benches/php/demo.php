<?php
/**
 * Shows Larder at work on pages of a real Moodle, in several PHP processes at once. `make demo` runs it.
 *
 *     php demo.php EXTENSION [PROCESSES [PASSES]]
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

foreach (['recording', 'worker', 'measures', 'comparison', 'machine', 'screen'] as $file) {
    require __DIR__ . "/lib/{$file}.php";
}

[, $extension] = $argv;
$processes = max(2, (int)($argv[2] ?? 4));
$passes = (int)($argv[3] ?? 5);
$data = dirname(__DIR__) . '/data/moodle45';
// Without the machine's own php.ini, so that the same is measured everywhere.
$php = [PHP_BINARY, '-n', '-d', 'memory_limit=512M', '-d', "extension={$extension}"];

$directory = sys_get_temp_dir() . '/larder-demo-' . bin2hex(random_bytes(6));
mkdir($directory, 0700);
register_shutdown_function(fn() => exec('rm -rf ' . escapeshellarg($directory)));
set_exception_handler(function (\Throwable $e): void {
    fwrite(STDERR, "\nlarder demo: {$e->getMessage()}\n");
    exit(1);
});

$screen = new Screen();
$recording = new Recording($data);
$count = count($recording->pages);
$screen->title('Larder: pages of Moodle 4.5, replayed');
$screen->line(machine($directory));
$screen->line(sprintf(
    '%d recorded pages, %s values, %.1f MB as PHP serializes them · %d PHP processes at once',
    $count, number_format(array_sum(array_map('count', $recording->values))), $recording->bytes() / 1e6, $processes,
));
$screen->line();

$start = fn(string $store, string|array $target) => array_map(
    fn() => new Worker($php, ['recording' => $data, 'store' => $store, 'target' => $target]),
    range(1, $processes),
);
$workers = ['larder' => $start('larder', ['server' => "local:{$directory}/larder"]), 'file' => $start('file', "{$directory}/files")];
['larder' => $larder, 'file' => $file] = compare($workers, $count, $passes, $screen);
[$quietPages, $quietTrips] = $larder->quiet();
$times = [$larder->milliseconds(), $file->milliseconds()];
$readers = $recording->readers();
$reading = [$larder->milliseconds($readers), $file->milliseconds($readers)];
$milliseconds = fn(float $time) => sprintf('%.3f ms', $time);
$ratio = fn(array $pair) => $screen->strong(sprintf('1/%.0f', $pair[1] / $pair[0]));
$one = fn(float $number) => sprintf('%.1f', $number);
$screen->line();
$screen->table(['after a warm-up pass', 'Larder, local:', "file store's way"], [
    ['pages', number_format($larder->pages()), number_format($file->pages())],
    ['reads a page', $one($larder->perPage('reads')), $one($file->perPage('reads'))],
    ['hit rate', sprintf('%.1f %%', 100 * $larder->hitRate()), sprintf('%.1f %%', 100 * $file->hitRate())],
    ['transactions a page', $one($larder->perPage('trips')), 'a file each read'],
    ['   the page\'s sync', '1.0', ''],
    ['   writes', $one($larder->perPage('writes')), ''],
    ['   reads: changed by others, or missed again', $one($larder->perPage('trips') - 1 - $larder->perPage('writes')), ''],
    [sprintf('   in all, on %s pages that only read and hit', number_format($quietPages)), $one($quietTrips), ''],
    ['store time a page', ...array_map($milliseconds, $times)],
    ['   on pages that only read', ...array_map($milliseconds, $reading)],
]);
$screen->line(sprintf('Larder takes %s of the time, %s on the %d pages of %d that only read: on the same disk, with the', $ratio($times), $ratio($reading), count($readers), $count));
$screen->line('same answers, for all values that the warm-up pass read were compared with the recorded ones. Time is that of');
$screen->line('the store, the plugin\'s PHP included; of each page the median of its replays. A page begins with the sync that');
$screen->line('a request in a web server makes by itself. Locks of the recording are left out.');

$screen->title('One process changes a value, the others see it at their next request');
$item = ['definition' => 'core/config', 'key' => 'demo'];
$readers = $workers['larder'];
$writer = array_shift($readers);
$write = function (string $value) use ($writer, $item): void {
    $writer->ask(['do' => 'page']);
    $writer->ask(['do' => 'set', 'value' => $value] + $item);
};
// A request of each reader: the sync, then one read; what it read and the transactions that the read took.
$request = fn() => array_map(function ($reader) use ($item): array {
    $reader->ask(['do' => 'page']);
    return $reader->ask(['do' => 'get'] + $item);
}, $readers);
$row = fn(string $when, array $found) => [$when, ...array_map(fn($one) => "{$one['value']} ({$one['trips']})", $found)];

$write('old');
$rows = [$row('a request', $request()), $row('the next: from memory', $request())];
$write('new');
$found = $request();
$rows[] = $row(sprintf('process %d wrote "new"', $writer->pid()), $found);
$rows[] = $row('the next: from memory', $request());
$screen->table(['value read (transactions, besides the sync)', ...array_map(fn($reader) => 'process ' . $reader->pid(), $readers)], $rows);
if (array_unique(array_column($found, 'value')) !== ['new']) {
    throw new \RuntimeException('a process still reads the old value');
}
$screen->line(sprintf('All %d read the new value at their next request.', count($found)));
$screen->line();
