<?php
/**
 * Warm pages: stores on the recording, one process each.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

return function (Bench $bench): void {
    $bench->begin('pages: stores on recorded pages of Moodle 4.5, warm, one process each');
    $socket = "{$bench->directory}/redis.sock";
    $measured = $bench->compare('pages', 'Store time of a warm Moodle page', [
        'Larder, Redis (Unix socket)' => $bench->larder("redis+unix://{$socket}"),
        'Larder, local:' => $bench->larder("local:{$bench->directory}/larder"),
        "file store's way" => $bench->files("{$bench->directory}/files"),
        'phpredis (Unix socket)' => $bench->phpredis($socket),
        'phpredis with igbinary' => $bench->phpredis($socket, 'igbinary'),
        'APCu' => $bench->apcu(),
        'a PHP array: the limit' => $bench->memory(),
    ]);
    $targets = new Targets();
    foreach (['a reading page' => $bench->readers, 'any page' => null] as $which => $pages) {
        [$redis, $local, $files, $phpredis, , $apcu, $array] =
            array_map(fn($measures) => $measures->milliseconds($pages), array_values($measured));
        $targets
            ->share("{$which}: Redis, of the time of phpredis with the PHP serializer", $redis, $phpredis, 100)
            ->share("{$which}: Redis, of the time of APCu", $redis, $apcu, 20)
            ->atMost("{$which}: Redis, to the PHP array", $redis / $array, 6, 'x')
            ->share("{$which}: local:, of the time of the file store's way", $local, $files, 25);
    }
    $targets
        ->atMost('Redis, round trips of the median page', reset($measured)->ofMedianPage('trips'), 1, '')
        ->atMost('Redis, round trips of a reading page', reset($measured)->perPage('trips', $bench->readers), 1, '')
        ->show($bench->screen);
};
