<?php
/**
 * On what a measurement was made.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

/** The processor, its cores, the PHP and the disk of a directory, in one line. */
function machine(string $directory): string {
    $cpu = @file_get_contents('/proc/cpuinfo') ?: '';
    $model = preg_match('/^model name\s*:\s*(.+)$/m', $cpu, $match) ? preg_replace('/\s+/', ' ', $match[1]) : php_uname('m');
    $cores = max(1, preg_match_all('/^processor\s*:/m', $cpu));
    $disk = '';
    foreach (@file('/proc/mounts') ?: [] as $mount) {
        [, $point, $type] = explode(' ', $mount);
        if (str_starts_with("{$directory}/", rtrim($point, '/') . '/') && strlen($point) >= strlen($disk)) {
            $disk = $point;
            $filesystem = $type;
        }
    }
    return sprintf('%s, %d cores · PHP %s · %s on %s', $model, $cores, PHP_VERSION, $directory, $filesystem ?? 'an unknown file system');
}
