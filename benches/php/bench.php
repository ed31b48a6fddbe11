<?php
/**
 * Compares stores on the recorded pages. `make bench` runs it.
 *
 *     php bench.php EXTENSION PROGRAMS DIRECTORY DELAY RESULTS PASSES PART...
 *
 * PROGRAMS is the directory of `slow-mount`; DIRECTORY is for scratch files and holds the socket "redis.sock" of a Redis
 * server; DELAY is the port of a proxy that delays the answers of the same server by 0.3 ms; RESULTS is the file for the
 * charts. A PART is the name of a file in parts/, which returns a function of a {@see Bench}.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

require __DIR__ . '/lib/bench.php';

[, $extension, $programs, $directory, $delay, $results, $passes] = $argv;
$bench = new Bench($extension, $programs, $directory, (int)$delay, (int)$passes);
foreach (array_slice($argv, 7) as $part) {
    (require __DIR__ . "/parts/{$part}.php")($bench);
}
$bench->save($results);
