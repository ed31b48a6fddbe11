<?php
// Makes a store the default one of some modes, in the way the administration pages do, and prints the hash of all
// plugin versions of the tree: php map_store.php TREE STORE SERVER MODES.

use core_cache\config_writer;
use core_cache\store;

[, $tree, $plugin, $server, $modes] = $argv;
define('CLI_SCRIPT', true);
define('IGNORE_COMPONENT_CACHE', true);
require("$tree/config.php");

// A namespace of its own: what an earlier run left on the server would be taken for this site's.
$namespace = 'test_' . bin2hex(random_bytes(6));
$configuration = match ($plugin) {
    'larder' => ['server' => $server, 'namespace' => $namespace],
    'redis' => ['server' => preg_replace('#^redis://#', '', $server), 'prefix' => $namespace],
    default => [],
};
cache_helper::update_definitions();
$modes = explode(',', $modes);
$writer = config_writer::instance();
$writer->add_store_instance('test_site', $plugin, $configuration);
$writer->set_mode_mappings([
    store::MODE_APPLICATION => [in_array('application', $modes, true) ? 'test_site' : 'default_application'],
    store::MODE_SESSION => [in_array('session', $modes, true) ? 'test_site' : 'default_session'],
    store::MODE_REQUEST => ['default_request'],
]);
echo core_component::get_all_versions_hash();
