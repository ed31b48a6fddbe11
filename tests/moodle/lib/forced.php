<?php
// One step of the test of forced configuration, as one of its nodes: php forced.php TREE STEP.

use cachestore_larder\forced\configuration;
use core_cache\config;
use core_cache\config_writer;
use core_cache\definition;
use core_cache\exception\cache_exception;
use core_cache\factory;
use core_cache\store;

[, $tree, $step] = $argv;
define('CLI_SCRIPT', true);
define('IGNORE_COMPONENT_CACHE', true);
if ($step === 'third') {
    // As in an upgrade, whose last step purges all stores.
    define('CACHE_DISABLE_ALL', true);
}
require("$tree/config.php");

/**
 * Ends the test unless something holds.
 *
 * @param bool $holds
 * @param string $what
 */
function check(bool $holds, string $what): void {
    global $step;
    if (!$holds) {
        fwrite(STDERR, "test-moodle: FAILED, $step step: $what.\n");
        exit(1);
    }
}

/**
 * The stores that Moodle takes for a definition.
 *
 * @param string $id
 * @return string[]
 */
function stores_of(string $id): array {
    $definition = definition::load($id, config::instance()->get_definition_by_id($id));
    return array_keys(config::instance()->get_stores_for_definition($definition));
}

$cache = cache::make('core', 'coursemodinfo');
switch ($step) {
    case 'first':
    case 'second':
        check(stores_of('core/coursemodinfo') === ['mine'], 'application caches are not in the store');
        check(stores_of('core/navigation_cache') === ['mine'], 'session caches are not in the store');
        check(stores_of('core/string') === ['default_application'], 'the rule for one definition is not followed');
        check($cache->get('larder_test') === ($step === 'first' ? false : 'kept'), 'the nodes do not share the store');
        $cache->acquire_lock('larder_test');
        $cache->set('larder_test', $step === 'first' ? 'kept' : 'new');
        $cache->release_lock('larder_test');
        cache_helper::update_definitions();
        check(stores_of('core/coursemodinfo') === ['mine'], 'nothing is left of the array after an upgrade');
        break;
    case 'third':
        cache_helper::purge_all(true);
        break;
    case 'refused':
        check($cache->get('larder_test') === false, 'the purge of an upgrade left the store out');
        $writer = config_writer::instance();
        $changes = [
            fn() => $writer->edit_store_instance('mine', 'larder', []),
            fn() => $writer->delete_store_instance('mine'),
            fn() => $writer->set_mode_mappings([store::MODE_APPLICATION => ['default_application']]),
            fn() => $writer->set_definition_mappings('core/string', ['mine']),
        ];
        foreach ($changes as $number => $change) {
            try {
                $change();
                check(false, "change $number is not refused");
            } catch (cache_exception $e) {
                check($e->errorcode === 'forced', "change $number: {$e->getMessage()}");
            }
        }
        $writer->set_definition_mappings('core/coursecatrecords', []);
        $links = implode(factory::instance()->get_administration_display_helper()
            ->get_store_instance_actions('mine', config::instance()->get_all_stores()['mine']));
        check(configuration::problem() === '' && !str_contains($links, 'editstore'), 'the page offers to edit the store');
        break;
}
