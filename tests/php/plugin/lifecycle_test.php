<?php
/**
 * Construction, readiness, faults, and what happens when instances come and go.
 *
 * @license MIT OR Apache-2.0
 */

use core_cache\config;
use core_cache\definition;
use core_cache\store;

final class lifecycle_test extends plugin_testcase {
    public function test_a_server_that_is_away_leaves_the_store_ready(): void {
        $log = $this->error_log_of(function () {
            $store = new cachestore_larder('away', $this->configuration(['server' => 'redis://127.0.0.1:1']));
            $this->assertTrue($store->is_ready());
            $this->assertSame([], $store->get_warnings());
            $store->initialise($this->definition());
            $this->assertTrue($store->is_initialised());
        });
        $this->assertSame('', $log);
    }

    public static function bad_configurations(): array {
        return [
            'nothing' => [[]],
            'no such scheme' => [['server' => 'memcached://127.0.0.1']],
            'unknown setting' => [['server' => 'redis://127.0.0.1', 'sever' => 'x']],
        ];
    }

    /** @dataProvider bad_configurations */
    public function test_a_bad_configuration_is_logged_and_not_ready(array $configuration): void {
        $log = $this->error_log_of(function () use ($configuration, &$store) {
            $store = new cachestore_larder('bad <b>', $configuration);
        });
        $this->assertFalse($store->is_ready());
        $this->assertStringContainsString('bad <b>', $log);
        $this->assertStringContainsString('bad &lt;b&gt;', $store->get_warnings()[0]);

        // Whatever Moodle does with it nevertheless, nothing is thrown.
        $store->initialise($this->definition());
        $this->assertFalse($store->is_initialised());
        $store->instance_created();
        $store->instance_deleted();
        $this->assertNull($store->health());
    }

    public function test_no_fault_of_the_extension_reaches_the_page(): void {
        $store = $this->store();
        $this->inject($store, 'cache', new class {
            public function __call(string $method, array $arguments) {
                throw new \Larder\Exception("fault in {$method}");
            }
        });
        $calls = [
            'get' => [['key'], false],
            'get_many' => [[['b', 'a']], ['b' => false, 'a' => false]],
            'set' => [['key', 1], false],
            'set_many' => [[[['key' => 'a', 'value' => 1]]], 0],
            'delete' => [['key'], false],
            'delete_many' => [[['key']], 0],
            'purge' => [[], false],
            'has' => [['key'], false],
            'has_any' => [[['key']], false],
            'has_all' => [[['key']], false],
            'find_all' => [[], []],
            'find_by_prefix' => [['k'], []],
        ];
        foreach ($calls as $method => [$arguments, $expected]) {
            $this->assertSame($expected, $store->$method(...$arguments), $method);
            $this->assert_debugging('fault in ');
        }
    }

    /** The name and the options that each kind of definition gets its cache with. */
    public function test_options_follow_the_definition(): void {
        $probe = new class {
            public array $calls = [];

            public function cache(string $name, array $options): object {
                $this->calls[] = [$name, $options];
                return $this;
            }
        };
        $store = $this->store();
        $this->inject($store, 'store', $probe);
        $store->initialise($this->definition());
        $store->initialise($this->definition(store::MODE_SESSION));
        $store->initialise($this->definition(store::MODE_APPLICATION, ['requiredataguarantee' => true]));
        $store->initialise($this->definition(store::MODE_APPLICATION, ['ttl' => 60]));
        $store->initialise($this->definition(store::MODE_APPLICATION, ['ttl' => -60]));
        $store->initialise(definition::load_adhoc(store::MODE_APPLICATION, 'mod_x', 'y'));
        $this->assertSame(
            [[], ['near' => false], ['durable' => true], ['ttl' => 60], ['ttl' => -60], ['ttl' => 86400]],
            array_column($probe->calls, 1)
        );
        $names = array_column($probe->calls, 0);
        $this->assertSame('core/test@' . substr(md5('1 core test'), 0, 12), $names[0]);
        $this->assertNotSame($names[0], $names[1]);
        $this->assertStringStartsWith('adhoc/mod_x_y@', $names[5]);

        $store->initialise(definition::load_adhoc(store::MODE_APPLICATION, 'mod_x', str_repeat("\n\u{e4}", 200)));
        $this->assertMatchesRegularExpression('~^adhoc/mod_x_+@[0-9a-f]{12}$~', $probe->calls[6][0]);
        $this->assertLessThanOrEqual(200, strlen($probe->calls[6][0]));
    }

    public function test_a_new_instance_is_emptied(): void {
        $this->define_two();
        $old = $this->bound('core/one');
        $old->set('key', 'from an earlier life');
        $session = $this->bound('core/two');
        $session->set('key', 'also');
        (new cachestore_larder('new', $this->configuration()))->instance_created();
        $this->assertFalse($old->get('key'));
        $this->assertFalse($session->get('key'));
    }

    public function test_emptying_skips_what_is_never_here_and_gives_up_at_the_first_failure(): void {
        $this->define_two();
        $store = new cachestore_larder('new', $this->configuration());
        $probe = new class {
            public array $purged = [];
            public bool $answer = true;

            public function cache(string $name): object {
                $this->purged[] = strtok($name, '@');
                return $this;
            }

            public function purge(): bool {
                return $this->answer;
            }
        };
        $this->inject($store, 'store', $probe);
        $store->instance_created();
        $this->assertSame(['core/one', 'core/two'], $probe->purged);
        $probe->answer = false;
        $store->instance_created();
        $this->assertSame(['core/one', 'core/two', 'core/one'], $probe->purged);
    }

    public function test_a_deleted_instance_is_emptied(): void {
        $this->define_two();
        $old = $this->bound('core/one');
        $old->set('key', 1);
        (new cachestore_larder('test', $this->configuration()))->instance_deleted();
        $this->assertFalse($old->get('key'));
    }

    /** Once a request, whatever it purged, and without what may be secret. */
    public function test_who_purged_is_recorded(): void {
        global $CFG, $USER;
        $this->define_two();
        $USER = (object)['id' => 7];
        $_SERVER['argv'][0] = "{$CFG->dirroot}/admin/cli/purge_caches.php";
        $store = new cachestore_larder('test', $this->configuration());
        $store->instance_created();
        $this->bound('core/one')->purge();
        $this->assertSame([], $store->audit_log());
        \cachestore_larder\audit::record();
        \cachestore_larder\audit::record();
        [$record] = $log = $store->audit_log();
        $this->assertCount(1, $log);
        $this->assertEqualsWithDelta(time(), $record['time'], 60);
        $this->assertSame('purge', $record['action']);
        $details = $record['details'];
        $this->assertSame('core/one, core/two', $details['caches']);
        $this->assertSame(['admin/cli/purge_caches.php', '7', gethostname()], [$details['script'], $details['user'], $details['node']]);
        $this->assertStringContainsString(basename(__FILE__), $details['trace']);

        // The records outlive a purge of everything.
        \Larder\Store::open($this->configuration())->purge();
        $this->assertSame($log, $store->audit_log());
    }

    /** A child of a script that forks ends with what its parent purged before in its memory. */
    public function test_who_purged_is_recorded_once_by_a_script_that_forks(): void {
        $this->define_two();
        $store = new cachestore_larder('test', $this->configuration());
        $this->bound('core/one')->purge();
        $child = pcntl_fork();
        if ($child === 0) {
            \cachestore_larder\audit::record();
            $this->bound('core/two')->purge();
            \cachestore_larder\audit::record();
            posix_kill(getmypid(), SIGKILL);
        }
        pcntl_waitpid($child, $status);
        \cachestore_larder\audit::record();
        $caches = array_map(fn($record) => $record['details']['caches'], $store->audit_log());
        $this->assertSame(['core/two', 'core/one'], $caches);
    }

    /** Moodle and its plugins may purge while PHP shuts down, also after others have. */
    public function test_who_purged_while_php_shuts_down_is_recorded(): void {
        $this->define_two();
        $child = pcntl_fork();
        if ($child === 0) {
            $this->bound('core/one')->purge();
            $late = fn() => register_shutdown_function(fn() => $this->bound('core/two')->purge());
            register_shutdown_function($late);
            exit;
        }
        pcntl_waitpid($child, $status);
        $this->assertSame(0, $status);
        $records = (new cachestore_larder('test', $this->configuration()))->audit_log();
        $caches = array_map(fn($record) => $record['details']['caches'], $records);
        $this->assertEqualsCanonicalizing(['core/one', 'core/two'], $caches);
    }

    public function test_the_performance_test_touches_nothing_but_its_own(): void {
        $this->define_two();
        $this->assertFalse(cachestore_larder::initialise_test_instance($this->definition()));
        config::$stores = [
            'default_application' => ['plugin' => 'file', 'configuration' => []],
            'mine' => ['plugin' => 'larder', 'configuration' => $this->configuration()],
        ];
        $adhoc = definition::load_adhoc(store::MODE_APPLICATION, 'cache', 'applicationtest');
        $real = new cachestore_larder('mine', $this->configuration());
        $real->initialise($adhoc);
        $real->set('key', 'real');
        $instance = cachestore_larder::initialise_test_instance($adhoc);
        $this->assertFalse($instance->get('key'));
        $instance->set('key', 'test');
        $other = cachestore_larder::initialise_test_instance($adhoc);
        $this->assertFalse($other->get('key'));
        $instance->instance_deleted();
        $this->assertFalse($instance->get('key'));
        $this->assertSame('real', $real->get('key'));
    }

    private function define_two(): void {
        config::$definitions = [
            'core/request' => ['mode' => store::MODE_REQUEST, 'component' => 'core', 'area' => 'request'],
            'core/one' => ['mode' => store::MODE_APPLICATION, 'component' => 'core', 'area' => 'one'],
            'core/two' => ['mode' => store::MODE_SESSION, 'component' => 'core', 'area' => 'two'],
        ];
    }

    private function bound(string $id): cachestore_larder {
        $store = new cachestore_larder('test', $this->configuration());
        $store->initialise(definition::load($id, config::$definitions[$id]));
        return $store;
    }
}
