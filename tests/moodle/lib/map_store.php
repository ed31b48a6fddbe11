<?php
// Makes a store the default one of some modes, in the way the administration pages do, and prints the hash of all
// plugin versions of the tree: php map_store.php TREE STORE SERVER MODES.

use core_cache\config_writer;
use core_cache\store;

[, $tree, $plugin, $server, $modes] = $argv;
define('CLI_SCRIPT', true);
define('IGNORE_COMPONENT_CACHE', true);
require("$tree/config.php");
require(__DIR__ . '/store_configuration.php');

cache_helper::update_definitions();
$modes = explode(',', $modes);
$writer = config_writer::instance();
$writer->add_store_instance('test_site', $plugin, store_configuration($plugin, $server));
$writer->set_mode_mappings([
    store::MODE_APPLICATION => [in_array('application', $modes, true) ? 'test_site' : 'default_application'],
    store::MODE_SESSION => [in_array('session', $modes, true) ? 'test_site' : 'default_session'],
    store::MODE_REQUEST => ['default_request'],
]);
echo core_component::get_all_versions_hash();
