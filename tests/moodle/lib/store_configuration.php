<?php
// The configuration of the store under test.

/**
 * What Moodle is to keep for an instance of a store plugin.
 *
 * @param string $plugin larder, or core's file or redis
 * @param string $server
 * @return array with what OPTIONS in the environment adds, as in a query: near_bytes=1M&compress_from=0
 */
function store_configuration(string $plugin, string $server): array {
    parse_str((string)getenv('OPTIONS'), $options);
    // A namespace of its own: what an earlier run left on the server would be taken for this site's.
    $namespace = 'test_' . bin2hex(random_bytes(6));
    return match ($plugin) {
        'larder' => ['server' => $server, 'namespace' => $namespace] + $options,
        'redis' => ['server' => preg_replace('#^redis://#', '', $server), 'prefix' => $namespace],
        default => [],
    };
}
