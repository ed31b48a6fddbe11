<?php
// What the driver's model and the pages agree on.

/** The value of a key in a version. */
function version(string $key, int $version): array {
    static $makers = null;
    $makers ??= array_values(near_values());
    $number = crc32($key) + $version;
    return ['key' => $key, 'version' => $version, 'data' => $makers[$number % count($makers)](), 'fill' => str_repeat(chr(65 + $number % 26), $number % 4000)];
}
