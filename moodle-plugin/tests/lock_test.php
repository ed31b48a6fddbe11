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

use cachestore_larder\lock\factory;
use core\lock\lock_config;

/**
 * Locks on a real Moodle: the factory for Moodle's Lock API, and the store's own.
 *
 * @package    cachestore_larder
 * @copyright  2026 Larder contributors
 * @license    http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 * @covers     \cachestore_larder\lock\factory
 * @covers     \cachestore_larder\locking
 */
final class lock_test extends \advanced_testcase {
    /**
     * Points the factory to the server for tests.
     */
    protected function setUp(): void {
        global $CFG;
        parent::setUp();
        if (!\cachestore_larder::ready_to_be_used_for_testing()) {
            $this->markTestSkipped('TEST_CACHESTORE_LARDER_TESTSERVERS is not defined, or the extension is not loaded.');
        }
        $this->resetAfterTest();
        $CFG->lock_factory = '\\' . factory::class;
        $CFG->cachestore_larder_lock = \cachestore_larder::unit_test_configuration() + ['lock_lease' => 1];
        // A server that has just begun, or that was flushed, gives no named lock away for a lease.
        $lock = (new factory('ready'))->get_lock('ready', 15);
        $this->assertNotFalse($lock);
        $lock->release();
    }

    /**
     * A store on the server for tests.
     *
     * @return \cachestore_larder
     */
    private function store(): \cachestore_larder {
        $configuration = \cachestore_larder::unit_test_configuration() + ['lock_lease' => 1];
        $store = new \cachestore_larder('Lock test', $configuration);
        $mode = \core_cache\store::MODE_APPLICATION;
        $store->initialise(\core_cache\definition::load_adhoc($mode, 'cachestore_larder', 'lock_test'));
        return $store;
    }

    /**
     * Moodle finds the factory, and locks of different types do not meet.
     */
    public function test_types_and_resources(): void {
        $this->assertStringContainsString(factory::class, lock_config::get_lock_factory_class());
        $this->assertTrue(lock_config::get_lock_factory('any')->is_available());
        $a = (new factory('mod_assign'))->get_lock('abc', 0);
        $b = (new factory('tool_task'))->get_lock('abc', 0);
        $c = (new factory('tool_task'))->get_lock('abcd', 0);
        $this->assertNotFalse($a);
        $this->assertNotFalse($b);
        $this->assertNotFalse($c);
        $this->assertTrue($a->release());
        $this->assertTrue($b->release());
        $this->assertTrue($c->release());
    }

    /**
     * What Moodle asks of every factory: no recursion, a wait that ends when it should, a release that counts once.
     */
    public function test_factory(): void {
        $factory = new factory('default');
        $this->assertTrue($factory->supports_timeout());
        $this->assertTrue($factory->supports_auto_release());

        $held = $factory->get_lock('abc', 2);
        $this->assertNotFalse($held);
        $start = microtime(true);
        $this->assertFalse($factory->get_lock('abc', 2));
        $waited = microtime(true) - $start;
        $this->assertGreaterThan(1.9, $waited);
        $this->assertLessThan(2.5, $waited);
        $start = microtime(true);
        $this->assertFalse($factory->get_lock('abc', 0));
        $this->assertLessThan(0.1, microtime(true) - $start);

        $this->assertTrue($held->release());
        $again = $factory->get_lock('abc', 2);
        $this->assertNotFalse($again);
        $this->assertTrue($again->release());
        $this->assertFalse($again->release());
    }

    /**
     * The factory's locks are named ones: not those of a cache, whatever their names.
     */
    public function test_named_locks(): void {
        global $CFG;
        $held = (new factory('default'))->get_lock('abc', 0);
        $this->assertNotFalse($held);
        $configuration = configuration::for_extension($CFG->cachestore_larder_lock);
        $store = \Larder\Store::open($configuration);
        $this->assertFalse($store->lockState("default\0abc", 'me'));
        $this->assertFalse($store->acquireLock("default\0abc", 'me', 0));
        $cache = $store->cache('lock/default', ['near' => false]);
        $this->assertNull($cache->lockState('abc', 'me'));
        $this->assertTrue($held->release());
        $this->assertNull($store->lockState("default\0abc", 'me'));
    }

    /**
     * The end of a request releases what it forgot.
     */
    public function test_auto_release(): void {
        $factory = new factory('default');
        $lock = $factory->get_lock('abc', 0);
        $factory->auto_release();
        $other = (new factory('default'))->get_lock('abc', 0);
        $this->assertNotFalse($other);
        $this->assertTrue($other->release());
        $lock->release();
    }

    /**
     * The store's locks: states, an owner that asks twice, a release by another.
     */
    public function test_store_locks(): void {
        $store = $this->store();
        $this->assertInstanceOf(\core_cache\lockable_cache_interface::class, $store);
        $this->assertTrue($store->acquire_lock('ready', 'me', 15));
        $this->assertTrue($store->release_lock('ready', 'me'));

        $this->assertNull($store->check_lock_state('k', 'me'));
        $this->assertTrue($store->acquire_lock('k', 'me'));
        $this->assertTrue($store->check_lock_state('k', 'me'));
        $this->assertFalse($store->check_lock_state('k', 'you'));
        $this->assertFalse($store->acquire_lock('k', 'me', 0.1));
        $this->assertFalse($store->release_lock('k', 'you'));
        $this->assertTrue($store->set('k', 'v'));
        $this->assertTrue($store->release_lock('k', 'me'));
        $this->assertFalse($store->release_lock('k', 'me'));
        $this->assertNull($store->check_lock_state('k', 'me'));
    }

    /**
     * Locks that are not released are reported to developers and released when the request ends.
     */
    public function test_forgotten_locks(): void {
        $store = $this->store();
        $this->assertTrue($store->acquire_lock('k', 'me', 15));
        \cachestore_larder::report_forgotten_locks();
        $this->assertDebuggingCalled('cachestore_larder: lock "k" of "me" was not released');
        $this->assertNull($store->check_lock_state('k', 'me'));
    }
}
