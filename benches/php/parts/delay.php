<?php
/**
 * Warm pages with a network that takes 0.3 ms.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

return function (Bench $bench): void {
    $bench->begin('delay: warm pages with a network that takes 0.3 ms');
    $measured = $bench->compare('delay', 'Store time of a warm Moodle page, network of 0.3 ms', [
        'Larder, Redis at 0.3 ms' => $bench->larder("redis://127.0.0.1:{$bench->delay}/1"),
        'phpredis at 0.3 ms' => $bench->phpredis("127.0.0.1:{$bench->delay}"),
        'a PHP array: the limit' => $bench->memory(),
    ], min($bench->passes, 2));
    $targets = new Targets();
    foreach (['a reading page' => $bench->readers, 'any page' => null] as $which => $pages) {
        [$larder, $phpredis] = array_map(fn($measures) => $measures->milliseconds($pages), array_values($measured));
        $targets->share("{$which}: Redis at 0.3 ms, of the time of phpredis", $larder, $phpredis, 150);
    }
    $targets->show($bench->screen);
};
