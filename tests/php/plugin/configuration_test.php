<?php
/**
 * The configuration on its way from the form to the extension.
 *
 * @license MIT OR Apache-2.0
 */

use cachestore_larder\configuration;
use cachestore_larder\connection_test;
use cachestore_larder\server_url;
use core_cache\config;

final class configuration_test extends plugin_testcase {
    public function test_every_setting_has_a_field_and_help(): void {
        $settings = [
            'server', 'username', 'password', 'password_file', 'sentinel_username', 'sentinel_password', 'ca_file', 'cert_file',
            'key_file', 'tls_server_name', 'namespace', 'near_bytes', 'max_staleness',
            'connect_timeout', 'read_timeout', 'lock_lease', 'lock_wait', 'compress_from', 'seal_key',
            'seal_key_previous', 'fallback', 'node_tier',
        ];
        $fields = (new cachestore_larder_addinstance_form())->fields();
        $parts = array_merge(['serverkind', 'testconnection'], server_url::FIELDS);
        $fields = array_filter($fields, fn($type) => $type !== 'header');
        $this->assertEqualsCanonicalizing(array_merge($settings, $parts), array_keys($fields));
        $this->assertSame('passwordunmask', $fields['password']);
        $this->assertSame('passwordunmask', $fields['sentinel_password']);
        $this->assertSame('passwordunmask', $fields['seal_key']);
        $this->assertSame('passwordunmask', $fields['seal_key_previous']);
        $this->assertArrayHasKey('forgetsecrets', (new cachestore_larder_addinstance_form('mine'))->fields());
    }

    public function test_the_form_gives_back_what_it_was_filled_with(): void {
        $config = [
            'server' => 'rediss://127.0.0.1:6379', 'username' => 'u', 'password' => ' p ', 'ca_file' => '/ca.pem',
            'cert_file' => '/cert.pem', 'key_file' => '/key.pem', 'tls_server_name' => 'server.example',
            'namespace' => 'n', 'seal_key' => '0123456789abcdef', 'near_bytes' => '64M', 'compress_from' => '0',
            'max_staleness' => '0.5', 'connect_timeout' => '0.25', 'read_timeout' => '1', 'lock_lease' => '10',
            'lock_wait' => '60', 'fallback' => 'dir:/shared/larder', 'node_tier' => 'local:/node/larder', 'generation' => 1,
        ];
        config::$stores = ['mine' => ['plugin' => 'larder', 'configuration' => $config]];
        $form = new moodleform();
        cachestore_larder::config_set_edit_form_data($form, $config);
        $this->assertArrayNotHasKey('password', $form->data);
        $this->assertArrayNotHasKey('seal_key', $form->data);

        $sent = array_map('strval', $form->data) + ['name' => 'mine', 'password' => '', 'seal_key' => '', 'lock' => ''];
        $kept = cachestore_larder::config_get_configuration_array((object)$sent);
        $this->assertArrayNotHasKey('server', $form->data);
        ksort($kept);
        ksort($config);
        $this->assertSame($config, $kept);
    }

    public function test_only_another_place_begins_another_generation(): void {
        $old = ['server' => 'dir:/mnt/larder?size=4G', 'generation' => 1];
        config::$stores = ['mine' => ['plugin' => 'larder', 'configuration' => $old]];
        $saved = fn(array $changes) => configuration::from_form((object)($changes + ['name' => 'mine', 'server' => $old['server']]));
        $this->assertSame(1, $saved(['near_bytes' => '64M', 'seal_key' => '0123456789abcdef'])['generation']);
        $this->assertSame(1, $saved(['server' => 'dir:/mnt/larder?size=8G'])['generation']);
        $this->assertGreaterThan(1, $saved(['server' => 'dir:/mnt/other?size=4G'])['generation']);
        $this->assertGreaterThan(1, $saved(['server' => 'redis://h/1'])['generation']);
        $this->assertGreaterThan(1, $saved(['namespace' => 'n'])['generation']);
        $this->assertGreaterThan(1, $saved(['name' => 'new'])['generation']);
    }

    public static function urls(): array {
        return [
            ['redis://h', 'redis'], ['redis://h:1/2', 'redis'], ['redis://[::1]:6379', 'redis'], ['rediss://h:6380', 'rediss'],
            ['redis-sentinel://a,b:26380/my-primary', 'sentinel'], ['redis-sentinel://a/s/2', 'sentinel'],
            ['rediss-sentinel://a,b/s', 'sentineltls'], ['redis-cluster://a,b:7000', 'cluster'],
            ['rediss-cluster://a', 'clustertls'], ['redis-sentinel://a', 'url'], ['redis-cluster://a/1', 'url'],
            ['redis+unix:///run/redis.sock', 'unix'], ['redis+unix:///run/redis.sock?db=3', 'unix'], ['dir:/mnt/a b', 'dir'],
            ['dir:/mnt/larder?size=4G', 'dir'], ['local:/var/larder?size=512M', 'local'], ['redis://u:p@h', 'url'], ['', 'url'],
            ['redis://h/x', 'url'], ['dir:relative', 'url'], ['redis+unix:///a%20b', 'url'], ['nonsense', 'url'],
        ];
    }

    /** @dataProvider urls */
    public function test_a_url_is_the_same_after_its_parts_were_shown(string $url, string $kind): void {
        $parts = server_url::split($url);
        $this->assertSame($kind, $parts['serverkind']);
        $this->assertSame($url, server_url::join((object)$parts));
    }

    public function test_mistakes_are_shown_at_the_field_that_was_filled(): void {
        $form = new cachestore_larder_addinstance_form();
        $errors = fn(array $data) => array_keys($form->configuration_validation($data + ['name' => 'x'], [], []));
        $this->assertSame(['serverhost'], $errors(['serverkind' => 'redis', 'serverhost' => ' ']));
        $this->assertSame(['serverpath'], $errors(['serverkind' => 'dir', 'serverpath' => '']));
        $this->assertSame(['server'], $errors(['serverkind' => 'url', 'server' => '']));
        $this->assertSame(['serverhosts'], $errors(['serverkind' => 'cluster']));
        $this->assertSame(['serverhosts'], $errors(['serverkind' => 'clustertls', 'serverhosts' => 'a,']));
        $this->assertSame(['serverservice'], $errors(['serverkind' => 'sentinel', 'serverhosts' => 'a,b']));
        $both = ['serverkind' => 'sentinel', 'serverhosts' => 'a,b', 'serverservice' => 's'];
        $this->assertSame([], $errors($both + ['sentinel_password' => 'p']));
        $this->assertSame(['cert_file'], $errors($both + ['cert_file' => '/c', 'key_file' => '/k']));
        $this->assertSame([], $errors(['serverkind' => 'redis', 'serverhost' => 'h', 'serverpath' => '/not/shown']));
    }

    public function test_a_connection_is_tested_without_the_sites_entries(): void {
        $data = (object)(['name' => 'new', 'serverkind' => 'local', 'serverpath' => "{$this->directory}/store"]);
        [$well, $text] = connection_test::run($data);
        $this->assertTrue($well, $text);
        $data->namespace = str_repeat('n', 100);
        [$well, $text] = connection_test::run($data);
        $this->assertTrue($well, $text);
        $data->fallback = "local:{$this->directory}/fallback";
        [, $text] = connection_test::run((object)(['serverkind' => 'redis', 'serverhost' => '127.0.0.1:1', 'password_file' => '/p'] + (array)$data));
        $this->assertStringContainsString('Fallback: can be used', $text, 'it has no password');
        $data->fallback = "local:{$this->directory}/file/store";
        file_put_contents("{$this->directory}/file", '');
        [$well, $text] = connection_test::run($data);
        $this->assertFalse($well);
        $this->assertStringContainsString('Fallback: ', $text);
        [$well, $text] = connection_test::run((object)['name' => 'new', 'serverkind' => 'redis', 'serverhost' => '127.0.0.1:1']);
        $this->assertFalse($well);
        $this->assertStringContainsString('refused', $text);
        $this->assertStringContainsString('Check that the server runs and listens at this address', $text);
    }

    public function test_secrets_are_replaced_or_removed_on_demand(): void {
        $old = ['server' => 'redis://h', 'password' => 'old', 'seal_key' => 'key'];
        config::$stores = ['mine' => ['plugin' => 'larder', 'configuration' => $old]];
        $sent = ['name' => 'mine', 'server' => 'redis://h', 'password' => 'new', 'seal_key' => '', 'forgetsecrets' => '0'];
        $this->assertSame('new', configuration::from_form((object)$sent)['password']);
        $this->assertSame('key', configuration::from_form((object)$sent)['seal_key']);
        $kept = configuration::from_form((object)(['forgetsecrets' => '1', 'password' => ''] + $sent));
        $this->assertArrayNotHasKey('password', $kept);
        $this->assertArrayNotHasKey('seal_key', $kept);
    }

    public function test_credentials_of_sentinels_go_with_them(): void {
        $old = ['server' => 'redis-sentinel://h/s', 'sentinel_username' => 'u', 'sentinel_password' => 'p', 'generation' => 1];
        config::$stores = ['mine' => ['plugin' => 'larder', 'configuration' => $old]];
        $saved = fn(array $data) => configuration::from_form((object)($data + ['name' => 'mine', 'sentinel_username' => 'u']));
        $this->assertEqualsCanonicalizing($old, $saved(['serverkind' => 'sentinel', 'serverhosts' => 'h', 'serverservice' => 's']));
        $this->assertSame(['server', 'generation'], array_keys($saved(['serverkind' => 'cluster', 'serverhosts' => 'h'])));
        $this->assertStringNotContainsString('secret', configuration::command(['server' => 'rediss-cluster://u:secret@h']));
    }

    public function test_empty_fields_are_left_to_the_extension(): void {
        $sent = ['name' => 'new', 'server' => ' redis://h ', 'near_bytes' => '', 'lock_wait' => ' '];
        $kept = configuration::from_form((object)$sent);
        $this->assertSame(['server', 'generation'], array_keys($kept));
        $this->assertSame('redis://h', $kept['server']);
        $this->assertSame('0', configuration::from_form((object)['name' => 'new', 'compress_from' => '0'])['compress_from']);
    }

    public function test_what_moodle_adds_does_not_reach_the_extension(): void {
        $stored = ['server' => 'redis://h', 'lock' => 'x', 'mappingsonly' => false, 'lockwait' => 5, 'username' => '', 'typo' => 1];
        $config = configuration::for_extension($stored);
        $this->assertEqualsCanonicalizing(['server', 'namespace', 'lock_wait', 'typo'], array_keys($config));
        $this->assertSame(5, $config['lock_wait']);
        $this->assertArrayNotHasKey('lock_wait', configuration::for_extension(['server' => 'redis://h']));
        $this->assertSame(7, configuration::for_extension(['lock_wait' => 7, 'lockwait' => 5])['lock_wait']);
    }

    public function test_a_copy_of_the_site_has_another_namespace(): void {
        global $CFG;
        $before = clone $CFG;
        $namespaces = [];
        try {
            foreach (['' => '', 'dbhost' => 'other', 'dbname' => 'copy', 'prefix' => 'm2_'] as $name => $value) {
                if ($name !== '') {
                    $CFG->$name = $value;
                }
                $namespaces[] = configuration::for_extension([])['namespace'];
                $namespaces[] = configuration::for_extension([])['namespace'];
            }
        } finally {
            $CFG = $before;
        }
        $this->assertCount(4, array_unique($namespaces));
        $this->assertSame('mine', configuration::for_extension(['namespace' => 'mine'])['namespace']);
    }

    public function test_another_version_of_the_code_is_another_epoch(): void {
        global $CFG;
        $before = clone $CFG;
        $epochs = [];
        try {
            $this->assertArrayNotHasKey('code_epoch', configuration::for_extension([]));
            $CFG->dirroot = $this->directory;
            foreach (['2024100706.00', '2024100707.01'] as $version) {
                file_put_contents("{$this->directory}/version.php", "<?php \$version = {$version};");
                unset($CFG->larder_code_epoch);
                $epochs[] = configuration::for_extension([])['code_epoch'];
                $CFG->larder_code_epoch = 'release 7';
                $epochs[] = configuration::for_extension([])['code_epoch'];
            }
        } finally {
            $CFG = $before;
        }
        $this->assertSame(['2024100706', '2024100707.01'], [$epochs[0], $epochs[2]]);
        $this->assertCount(4, array_unique($epochs));
        $this->assertMatchesRegularExpression('/^\w+$/', $epochs[1]);
    }

    /** @runInSeparateProcess */
    public function test_moodles_own_tests_never_see_the_sites_data(): void {
        global $CFG;
        define('PHPUNIT_TEST', true);
        $namespace = configuration::for_extension(['namespace' => 'production'])['namespace'];
        $this->assertStringStartsWith('production_test_', $namespace);
        $CFG->dataroot .= '2';
        $this->assertNotSame($namespace, configuration::for_extension(['namespace' => 'production'])['namespace']);
    }

    public static function paths(): array {
        return [
            ['redis://h/cachedir', null],
            ['redis+unix://{cachedir}/sock', null],
            ['dir:{dataroot}/larder', null],
            ['local:{cachedir}', 'cachedir'],
            ['local:{cachedir}/larder', 'cachedir'],
            ['local://{cachedir}/larder?size=1', 'cachedir'],
            ['dir:{localcachedir}/larder', 'localcachedir'],
            ['DIR:{tempdir}/larder', 'tempdir'],
            ['dir:{dataroot}/x/../cache/./larder', 'cachedir'],
            ['dir:{cachedir}-not/larder', null],
            ['dir:{dataroot}/link/larder', 'cachedir'],
            ['dir:{dataroot}/link/not/there/yet', 'cachedir'],
        ];
    }

    /** @dataProvider paths */
    public function test_directories_that_moodle_deletes_are_refused(string $url, ?string $doomed): void {
        global $CFG;
        $before = clone $CFG;
        try {
            foreach (['dataroot' => '', 'cachedir' => '/cache', 'localcachedir' => '/localcache', 'tempdir' => '/temp'] as $name => $path) {
                $CFG->$name = $this->directory . $path;
                $url = str_replace("{{$name}}", $CFG->$name, $url);
            }
            mkdir($CFG->cachedir);
            symlink($CFG->cachedir, "{$CFG->dataroot}/link");
            $expected = $doomed === null ? null : $CFG->$doomed;
            $this->assertSame($expected, configuration::doomed_directory($url));

            $errors = (new cachestore_larder_addinstance_form())->configuration_validation(
                ['name' => 'x', 'server' => $url],
                [],
                []
            );
            $this->assertSame($doomed !== null, str_contains($errors['server'] ?? '', $expected ?? 'Moodle deletes'));
            foreach ($doomed === null ? [] : ['fallback', 'node_tier'] as $name) {
                $data = ['name' => 'x', 'server' => 'redis://h', $name => $url];
                $errors = (new cachestore_larder_addinstance_form())->configuration_validation($data, [], []);
                $this->assertSame([$name], array_keys($errors));
            }

            if ($doomed !== null) {
                $log = $this->error_log_of(function () use ($url) {
                    $this->assertFalse((new cachestore_larder('x', ['server' => $url]))->is_ready());
                    foreach (['fallback', 'node_tier'] as $name) {
                        $this->assertFalse((new cachestore_larder('x', ['server' => 'redis://h', $name => $url]))->is_ready());
                    }
                });
                foreach (['server', 'fallback', 'node_tier'] as $name) {
                    $this->assertStringContainsString("{$name}: Moodle deletes", $log);
                }
            }
        } finally {
            $CFG = $before;
        }
    }

    public function test_the_extension_judges_what_was_entered(): void {
        $form = new cachestore_larder_addinstance_form();
        $data = ['name' => 'x'] + $this->configuration();
        $this->assertSame([], $form->configuration_validation($data, [], []));
        $this->assertSame(['server'], array_keys($form->configuration_validation(['server' => 'x<y://h'] + $data, [], [])));
        $bad = ['server' => 'x<y://h'] + $data;
        $this->assertSame(['name' => 'e'], $form->configuration_validation($bad, [], ['name' => 'e']));
        $this->assertStringNotContainsString('<', $form->configuration_validation($bad, [], [])['server']);
    }
}
