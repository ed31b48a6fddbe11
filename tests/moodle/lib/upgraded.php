<?php
// Before an upgrade of the plugin: maps an instance, as the administration pages do, and stores a value. After it: the
// instance is as it was, and the plugin is of the new version: php upgraded.php TREE SERVER before|after.

use core_cache\config_writer;
use core_cache\store;

[, $tree, $server, $step] = $argv;
define('CLI_SCRIPT', true);
require("$tree/config.php");

if ($step === 'before') {
    $writer = config_writer::instance();
    $writer->add_store_instance('upgraded', 'larder', ['server' => $server, 'namespace' => 'upgraded', 'generation' => 1]);
    $writer->set_mode_mappings([
        store::MODE_APPLICATION => ['upgraded'],
        store::MODE_SESSION => ['default_session'],
        store::MODE_REQUEST => ['default_request'],
    ]);
    cache_factory::reset();
    cache::make('core', 'string')->set('larder_test', 'kept');
    exit(0);
}
$plugin = new stdClass();
require("$CFG->dirroot/cache/stores/larder/version.php");
$instance = core_cache\config::instance()->get_all_stores()['upgraded'];
$problems = array_keys(array_filter([
    'the version is not the new one' => get_config('cachestore_larder', 'version') != $plugin->version,
    'the features are not those of the new version' => $instance['features'] !== cachestore_larder::get_supported_features(),
    'the status report complains' => (new cachestore_larder\check\requirements())->get_result()->get_status() !== 'ok',
    // The upgrade has purged it.
    'a value was not purged' => cache::make('core', 'string')->get('larder_test') !== false,
    'no value can be stored' => !cache::make('core', 'string')->set('larder_test', 'new'),
]));
if ($problems) {
    fwrite(STDERR, 'test-moodle: FAILED, after the upgrade ' . implode('; ', $problems) . ".\n");
    exit(1);
}
$writer = config_writer::instance();
$writer->set_mode_mappings([
    store::MODE_APPLICATION => ['default_application'],
    store::MODE_SESSION => ['default_session'],
    store::MODE_REQUEST => ['default_request'],
]);
$writer->delete_store_instance('upgraded');
