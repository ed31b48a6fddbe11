<?php
/**
 * What the plugin's tests share.
 *
 * @license MIT OR Apache-2.0
 */

use core_cache\config;
use core_cache\definition;
use core_cache\store;

abstract class plugin_testcase extends PHPUnit\Framework\TestCase {
    protected string $directory;

    protected function setUp(): void {
        // A test in a process of its own, which has no extension, needs none.
        if (!extension_loaded('larder') && !$this->isInIsolation()) {
            $this->fail('The tests need the extension: php -d extension=/path/to/larder.so ...');
        }
        $this->directory = sys_get_temp_dir() . '/larder-plugin-' . bin2hex(random_bytes(6));
        mkdir($this->directory);
        config::$stores = [];
        config::$definitions = [];
        $GLOBALS['standin_debugging'] = [];
    }

    protected function tearDown(): void {
        (new ReflectionProperty(\cachestore_larder\audit::class, 'purged'))->setValue(null, []);
        exec('rm -rf ' . escapeshellarg($this->directory));
        $this->assertSame([], $GLOBALS['standin_debugging'], 'debugging() was called');
    }

    /** A configuration that works, of a namespace that no other test uses. */
    protected function configuration(array $more = []): array {
        $server = getenv('LARDER_TEST_SERVER') ?: "local:{$this->directory}";
        return $more + ['server' => $server, 'namespace' => basename($this->directory)];
    }

    /** A store bound to a definition. */
    protected function store(int $mode = store::MODE_APPLICATION, array $details = []): cachestore_larder {
        $store = new cachestore_larder('test', $this->configuration());
        $this->assertTrue($store->is_ready());
        $store->initialise($this->definition($mode, $details));
        return $store;
    }

    protected function definition(int $mode = store::MODE_APPLICATION, array $details = []): definition {
        return definition::load('core/test', $details + ['mode' => $mode, 'component' => 'core', 'area' => 'test']);
    }

    /** Sends the error log to a file while something runs, and returns what arrived there. */
    protected function error_log_of(callable $run): string {
        $file = "{$this->directory}/error.log";
        $before = ini_set('error_log', $file);
        try {
            $run();
        } finally {
            ini_set('error_log', $before);
        }
        return is_file($file) ? file_get_contents($file) : '';
    }

    /** Fails unless debugging() was called with a message that contains a text. */
    protected function assert_debugging(string $text): void {
        $this->assertStringContainsString($text, implode("\n", $GLOBALS['standin_debugging']));
        $GLOBALS['standin_debugging'] = [];
    }

    /** Puts another object in the place of the extension's. */
    protected function inject(cachestore_larder $store, string $property, ?object $value): void {
        (new ReflectionProperty($store, $property))->setValue($store, $value);
    }
}
