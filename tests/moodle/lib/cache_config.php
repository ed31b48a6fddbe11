<?php
// Writes the cache configurations that suites run with: php cache_config.php TREE STORE SERVER FILE MODES [FILE MODES].
//
// Each is what Moodle would write for a new site, except that the store is the default one of the modes named
// ("application" or "application,session"), under the default's own name, so that nothing is left on files.
// All name the same place in the store: a new one may give no locks for a while.

[, $tree, $store, $server] = $argv;
define('PHPUNIT_UTIL', true);
require("$tree/vendor/autoload.php");
$public = is_dir("$tree/public") ? "$tree/public" : $tree;
require("$public/lib/phpunit/bootstrap.php");
require_once("$CFG->dirroot/cache/stores/$store/lib.php");
require_once(__DIR__ . '/store_configuration.php');

/**
 * Moodle's own writer, asked for an array instead of a file.
 */
class larder_test_config extends core_cache\config_writer {
    /**
     * The configuration of a new site with one plugin as the default store of some modes.
     *
     * @param string $plugin the store plugin
     * @param array $configuration of its instances
     * @param string[] $modes "application", "session"
     * @return array
     */
    public static function with_default(string $plugin, array $configuration, array $modes): array {
        $writer = new self();
        $writer->configstores = self::get_default_stores();
        $writer->configdefinitions = self::locate_definitions();
        $writer->configlocks = ['default_file_lock' => ['name' => 'cachelock_file_default', 'type' => 'cachelock_file',
            'dir' => 'filelocks', 'default' => true]];
        $class = "cachestore_$plugin";
        $sort = 0;
        foreach (['application' => self::mode('APPLICATION'), 'session' => self::mode('SESSION'),
                'request' => self::mode('REQUEST')] as $name => $mode) {
            if (in_array($name, $modes, true) && $plugin !== 'file') {
                $writer->configstores["default_$name"] = ['name' => "default_$name", 'plugin' => $plugin,
                    'configuration' => $configuration, 'features' => $class::get_supported_features(),
                    'modes' => $class::get_supported_modes(), 'default' => true, 'lock' => 'cachelock_file_default'];
            }
            $writer->configmodemappings[] = ['mode' => $mode, 'store' => "default_$name", 'sort' => --$sort];
        }
        return $writer->generate_configuration_array();
    }

    /**
     * The number of a cache mode.
     *
     * @param string $name
     * @return int
     */
    private static function mode(string $name): int {
        return constant(core_cache\store::class . "::MODE_$name");
    }
}

$instance = store_configuration($store, $server);
foreach (array_chunk(array_slice($argv, 4), 2) as [$file, $modes]) {
    $configuration = larder_test_config::with_default($store, $instance, explode(',', $modes));
    file_put_contents($file, "<?php defined('MOODLE_INTERNAL') || die();\n\$configuration = "
        . var_export($configuration, true) . ";\n");
}
