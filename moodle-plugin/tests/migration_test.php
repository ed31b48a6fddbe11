<?php
// This file is part of Moodle - http://moodle.org/
//
// Moodle is free software: you can redistribute it and/or modify
// it under the terms of the GNU General Public License as published by
// the Free Software Foundation, either version 3 of the License, or
// (at your option) any later version.
//
// Moodle is distributed in the hope that it will be useful,
// but WITHOUT ANY WARRANTY; without even the implied warranty of
// MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE.  See the
// GNU General Public License for more details.
//
// You should have received a copy of the GNU General Public License
// along with Moodle.  If not, see <http://www.gnu.org/licenses/>.

namespace cachestore_larder;

use core_cache\store;

/**
 * What is proposed for configurations of caches. tests/moodle/migrate applies and undoes it on sites.
 *
 * @package    cachestore_larder
 * @copyright  2026 Larder contributors
 * @license    http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 * @covers     \cachestore_larder\migration
 */
final class migration_test extends \advanced_testcase {
    /**
     * Some definitions.
     *
     * @return array[]
     */
    private static function definitions(): array {
        return [
            'core/one' => ['mode' => store::MODE_APPLICATION],
            'core/two' => ['mode' => store::MODE_APPLICATION, 'canuselocalstore' => true],
            'core/three' => ['mode' => store::MODE_SESSION],
            'core/four' => ['mode' => store::MODE_REQUEST],
            'core/five' => ['mode' => store::MODE_APPLICATION, 'requiremultipleidentifiers' => true],
        ];
    }

    /**
     * A configuration of some stores.
     *
     * @param array[] $definitionmappings
     * @param string $application Store of application caches.
     * @param string $session Store of session caches.
     * @return migration
     */
    private function site(array $definitionmappings, string $application, string $session = 'default_session'): migration {
        $stores = ['default_application' => 'file', 'default_session' => 'session', 'default_request' => 'static',
            'mem' => 'apcu', 'red' => 'redis', 'old' => 'memcached', 'lard' => 'larder'];
        return migration::of_file([
            'stores' => array_map(fn($name) => ['name' => $name, 'plugin' => $stores[$name]], array_keys($stores)),
            'modemappings' => [
                ['mode' => store::MODE_APPLICATION, 'store' => $application, 'sort' => 0],
                ['mode' => store::MODE_SESSION, 'store' => $session, 'sort' => 0],
                ['mode' => store::MODE_REQUEST, 'store' => 'default_request', 'sort' => 0],
            ],
            'definitionmappings' => $definitionmappings,
        ], self::definitions(), 'lard');
    }

    /**
     * Where definitions are proposed to be.
     *
     * @param migration $site
     * @return string[]
     */
    private static function proposed(migration $site): array {
        return array_map(fn($row) => implode(' ', $row['then']), $site->proposal());
    }

    /**
     * Caches of files and of Redis.
     */
    public function test_modes(): void {
        $expected = ['core/one' => 'lard', 'core/two' => 'lard', 'core/three' => 'default_session',
            'core/four' => 'default_request', 'core/five' => 'default_application'];
        $this->assertEquals($expected, self::proposed($this->site([], 'default_application')));
        $expected = ['core/three' => 'lard', 'core/five' => 'red'] + $expected;
        $site = $this->site([], 'red', 'red');
        $this->assertEquals($expected, self::proposed($site));
        $this->assertStringContainsString('in Redis', $site->proposal()['core/one']['reason']);
    }

    /**
     * Caches in the session must leave it for read-only sessions.
     */
    public function test_read_only_sessions(): void {
        global $CFG;
        $this->resetAfterTest();
        $CFG->enable_read_only_sessions = true;
        $this->assertSame('lard', self::proposed($this->site([], 'default_application'))['core/three']);
    }

    /**
     * Another store before Larder, and one whose plugin is gone.
     */
    public function test_warnings(): void {
        $site = $this->site([
            ['definition' => 'core/two', 'store' => 'lard', 'sort' => 1],
            ['definition' => 'core/two', 'store' => 'mem', 'sort' => 2],
            ['definition' => 'core/one', 'store' => 'old', 'sort' => 1],
        ], 'lard');
        $this->assertSame(['mem', 'lard'], $site->proposal()['core/two']['now']);
        $this->assertSame('lard', self::proposed($site)['core/two']);
        $this->assertSame('lard', self::proposed($site)['core/one']);
        [$gone, $stacked] = $site->warnings();
        $this->assertStringContainsString('"old" is of the plugin "memcached"', $gone);
        $this->assertStringContainsString('core/two: mem stands before Larder', $stacked);
    }

    /**
     * A forced configuration: the first rule whose conditions hold decides.
     */
    public function test_forced(): void {
        $forced = [
            'stores' => ['mem' => ['type' => 'apcu', 'config' => []], 'red' => ['type' => 'redis', 'config' => []]],
            'rules' => [
                'application' => [['conditions' => ['canuselocalstore' => true], 'stores' => ['mem']], ['stores' => ['red']]],
                'session' => [['stores' => ['red']]],
            ],
        ];
        $site = migration::of_forced($forced, self::definitions(), 'lard');
        $this->assertTrue($site->is_forced());
        $now = array_map(fn($row) => implode(' ', $row['now']), $site->proposal());
        $expected = ['core/one' => 'red', 'core/two' => 'mem', 'core/three' => 'red', 'core/four' => 'default_request',
            'core/five' => 'red'];
        $this->assertEquals($expected, $now);
        $code = $site->forced_code(['server' => 'local:/var/lib/larder']);
        $CFG = new \stdClass();
        eval($code);
        $this->assertSame('larder', $CFG->tool_forcedcache_config_array['stores']['lard']['type']);
        $this->assertSame([['stores' => ['lard']]], $CFG->tool_forcedcache_config_array['rules']['session']);
        $this->assertSame([], $CFG->tool_forcedcache_config_array['rules']['request']);
        $this->expectException(\coding_exception::class);
        $site->apply([]);
    }
}
