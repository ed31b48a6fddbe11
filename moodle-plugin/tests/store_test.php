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

use cachestore_larder;
use core_cache\definition;
use core_cache\store;

defined('MOODLE_INTERNAL') || die();

global $CFG;
require_once($CFG->dirroot . '/cache/tests/fixtures/stores.php');
require_once($CFG->dirroot . '/cache/stores/larder/lib.php');

/**
 * Moodle's tests for cache stores, and what they leave out.
 *
 * Needs the PHP extension and, in config.php, a server, for instance:
 * define('TEST_CACHESTORE_LARDER_TESTSERVERS', 'redis://127.0.0.1:6379');
 *
 * @package   cachestore_larder
 * @covers    \cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class store_test extends \cachestore_tests {
    /**
     * Skips when there is no extension or no server.
     */
    public function setUp(): void {
        if (!cachestore_larder::ready_to_be_used_for_testing()) {
            $this->markTestSkipped('Needs the PHP extension "larder" and TEST_CACHESTORE_LARDER_TESTSERVERS.');
        }
        parent::setUp();
    }

    /**
     * The class under test.
     *
     * @return string
     */
    protected function get_class_name() {
        return 'cachestore_larder';
    }

    /**
     * Modes that the store is tested in.
     *
     * @return array[]
     */
    public static function modes(): array {
        return ['application' => [store::MODE_APPLICATION], 'session' => [store::MODE_SESSION]];
    }

    /**
     * A store for an ad-hoc definition, empty.
     *
     * @param int $mode
     * @param string $area
     * @return cachestore_larder
     */
    private function create_store(int $mode, string $area = 'store_test'): cachestore_larder {
        $store = new cachestore_larder('test', cachestore_larder::unit_test_configuration());
        $store->initialise(definition::load_adhoc($mode, 'cachestore_larder', $area));
        $store->purge();
        return $store;
    }

    /**
     * Key awareness, and keys that PHP turns into integers.
     *
     * @param int $mode
     * @dataProvider modes
     */
    public function test_keys(int $mode): void {
        $store = $this->create_store($mode);
        $this->assertSame(2, $store->set_many([['key' => 7, 'value' => 'seven'], ['key' => 'a', 'value' => null]]));
        $this->assertSame(['a' => null, 7 => 'seven', 8 => false], $store->get_many(['x' => 'a', 'y' => 7, 'z' => '8']));
        $this->assertTrue($store->has(7));
        $this->assertFalse($store->has('8'));
        $this->assertTrue($store->has_any([7, 8]));
        $this->assertFalse($store->has_all([7, 8]));
        $this->assertSame(1, $store->delete_many([7, 8]));
    }

    /**
     * A value that PHP cannot serialize removes the one before it.
     *
     * @param int $mode
     * @dataProvider modes
     */
    public function test_refused_value(int $mode): void {
        $store = $this->create_store($mode);
        $store->set('key', 'old');
        $this->assertFalse($store->set('key', fn() => 1));
        $this->assertDebuggingCalled();
        $this->assertFalse($store->get('key'));
    }

    /**
     * Definitions do not see one another's entries.
     */
    public function test_definitions_are_apart(): void {
        $one = $this->create_store(store::MODE_APPLICATION, 'one');
        $two = $this->create_store(store::MODE_APPLICATION, 'two');
        $one->set('key', 1);
        $this->assertFalse($two->get('key'));
        $two->set('key', 2);
        $one->purge();
        $this->assertSame(2, $two->get('key'));
    }
}
