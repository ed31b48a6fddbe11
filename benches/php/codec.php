<?php
// Compares Larder's codec with serialize(), igbinary and msgpack: time to encode, time to decode, size.
//
// Usage: php -d extension=…/liblarder_php.so benches/php/codec.php   (the extension built with the feature `probe`)
//
// All codecs take turns in one run; each figure is the best of its rounds, which other work on the machine disturbs least. A decode includes freeing the value.

declare(strict_types=1);

/** @var int how many rounds a figure is the best of */
const ROUNDS = 15;

if (!function_exists('larder_probe_encode')) {
    fwrite(STDERR, "Build the extension with --features probe and load it.\n");
    exit(1);
}

/**
 * A row as Moodle's tables have them: ids, flags, times, short names, repeated and empty fields.
 *
 * @param int $i number of the row
 * @return array<string, mixed>
 */
function row(int $i): array {
    return [
        'id' => $i, 'course' => 2 + $i % 7, 'module' => (string)($i % 23), 'instance' => $i * 3,
        'section' => 100 + $i % 11, 'idnumber' => '', 'added' => 1700000000 + $i * 61, 'score' => 0,
        'indent' => $i % 2, 'visible' => true, 'visibleoncoursepage' => true, 'visibleold' => 1,
        'groupmode' => 0, 'groupingid' => null, 'completion' => $i % 3, 'completiongradeitemnumber' => null,
        'completionview' => 0, 'completionexpected' => 0, 'showdescription' => false, 'availability' => null,
        'deletioninprogress' => 0, 'modname' => ['forum', 'assign', 'quiz', 'page', 'resource'][$i % 5],
        'name' => "Activity number $i of this course", 'grade' => $i / 3, 'lang' => 'en',
    ];
}

/**
 * The recorded values.
 *
 * @return array<int, mixed>
 */
function recording(): array {
    $lines = explode("\n", trim((string)gzdecode((string)file_get_contents(__DIR__ . '/../data/moodle45/values.jsonl.gz'))));
    return array_map(fn($line) => unserialize(base64_decode(json_decode($line, true)['php'])), $lines);
}

$codecs = ['serialize' => ['serialize', 'unserialize']];
if (function_exists('igbinary_serialize')) {
    $codecs['igbinary'] = ['igbinary_serialize', 'igbinary_unserialize'];
}
if (function_exists('msgpack_pack')) {
    $codecs['msgpack'] = ['msgpack_pack', 'msgpack_unpack'];
}
$codecs['larder'] = ['larder_probe_encode', 'larder_probe_decode'];

$rows = array_map('row', range(1, 300));
$cases = [
    'string, 21 bytes' => [['a short string, twenty'], 20000],
    'list of 50 strings' => [[array_map(fn($i) => "entry number $i", range(1, 50))], 2000],
    'c1: 300 arrays of 25' => [[$rows], 20],
    'c2: 300 stdClass of 25' => [[array_map(fn($row) => (object)$row, $rows)], 20],
    'string, 204 KB' => [[str_repeat('0123456789abcdef', 13056)], 200],
    'recording, 985 values' => [recording(), 1],
];

/**
 * Nanoseconds of one call.
 *
 * @param callable $call what is timed
 * @param array<int, mixed> $inputs its inputs, taken in turn
 * @param int $times how often
 * @return float
 */
function timed(callable $call, array $inputs, int $times): float {
    $start = hrtime(true);
    for ($i = 0; $i < $times; $i++) {
        foreach ($inputs as $input) {
            $call($input);
        }
    }
    return (hrtime(true) - $start) / $times;
}

require __DIR__ . '/lib/screen.php';
require __DIR__ . '/lib/targets.php';
$targets = new Larder\Bench\Targets();
printf("PHP %s, %d rounds; times in µs, ratios to igbinary in brackets\n", PHP_VERSION, ROUNDS);
foreach ($cases as $name => [$values, $times]) {
    $encode = $decode = $size = $encoded = [];
    foreach ($codecs as $codec => [$to, $from]) {
        $encoded[$codec] = array_map($to, $values);
        $size[$codec] = array_sum(array_map('strlen', $encoded[$codec]));
    }
    for ($round = 0; $round < ROUNDS; $round++) {
        foreach ($codecs as $codec => [$to, $from]) {
            $encode[$codec][] = timed($to, $values, $times);
            $decode[$codec][] = timed($from, $encoded[$codec], $times);
        }
    }
    echo "\n$name\n";
    $base = isset($codecs['igbinary']) ? 'igbinary' : 'serialize';
    foreach ($codecs as $codec => $_) {
        printf(
            "  %-10s encode %10.2f (%4.2f)   decode %10.2f (%4.2f)   bytes %9d (%4.2f)\n",
            $codec,
            min($encode[$codec]) / 1000,
            min($encode[$codec]) / min($encode[$base]),
            min($decode[$codec]) / 1000,
            min($decode[$codec]) / min($decode[$base]),
            $size[$codec],
            $size[$codec] / $size[$base],
        );
    }
    if (!isset($codecs['igbinary'])) {
        continue;
    }
    if (str_starts_with($name, 'c1')) {
        $targets
            ->atLeast("{$name}: decodes, times as fast as igbinary", min($decode['igbinary']) / min($decode['larder']), 1.5, 'x')
            ->atLeast("{$name}: decodes, times as fast as unserialize", min($decode['serialize']) / min($decode['larder']), 3, 'x')
            ->atLeast("{$name}: encodes, times as fast as igbinary", min($encode['igbinary']) / min($encode['larder']), 1, 'x');
    } else if (str_starts_with($name, 'recording')) {
        $targets->atMost("{$name}: size, to igbinary's", $size['larder'] / $size['igbinary'], 1, 'x');
    }
}
$targets->show(new Larder\Bench\Screen());
