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

use cachestore_larder\session\handler;
use cachestore_larder\session\server;
use core\session\exception;

/**
 * The session handler on a real Moodle. What needs more than one process is in tests/moodle/sessions.
 *
 * @package    cachestore_larder
 * @copyright  2026 Larder contributors
 * @license    http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 * @covers     \cachestore_larder\session\handler
 * @runTestsInSeparateProcesses
 */
final class session_test extends \advanced_testcase {
    /**
     * Points the handler to the server for tests.
     */
    protected function setUp(): void {
        global $CFG;
        parent::setUp();
        if (!\cachestore_larder::ready_to_be_used_for_testing()) {
            $this->markTestSkipped('TEST_CACHESTORE_LARDER_TESTSERVERS is not defined, or the extension is not loaded.');
        }
        $this->resetAfterTest();
        $CFG->session_larder = \cachestore_larder::unit_test_configuration();
        $CFG->session_larder_acquire_lock_timeout = 1;
        set_config('sessiontimeout', 100);
        // A process of its own must not write to the standard error.
        ini_set('error_log', make_request_directory() . '/errors');
        $this->handler()->destroy_all();
    }

    /**
     * A handler as of another request.
     *
     * @param bool $writes Whether it may write to sessions.
     * @return handler
     */
    private function handler(bool $writes = true): handler {
        $handler = new handler();
        $handler->set_requires_write_lock($writes);
        $handler->open('', '');
        return $handler;
    }

    /**
     * The locks of sessions that are held.
     *
     * @return string[]
     */
    private function locks(): array {
        return array_column(\Larder\Store::open(server::configuration())->locks(), 'key');
    }

    /**
     * Makes a session with a record.
     *
     * @param string $id
     * @param int $userid
     * @param string $data
     * @return \stdClass The record.
     */
    private function session(string $id, int $userid, string $data = 'data'): \stdClass {
        session_id($id);
        $handler = $this->handler();
        $handler->read($id);
        $record = $handler->add_session($userid);
        $handler->write($id, $data);
        $handler->close();
        return $record;
    }

    /**
     * The sessions of a handler's list, by their ids.
     *
     * @param iterable $records
     * @return string[]
     */
    private static function ids(iterable $records): array {
        $ids = [];
        foreach ($records as $record) {
            $ids[] = $record->sid;
        }
        sort($ids);
        return $ids;
    }

    /**
     * What is written is read, and nothing stays locked.
     */
    public function test_data(): void {
        $handler = $this->handler();
        $this->assertTrue($handler->init());
        $this->assertSame('', $handler->read('one'));
        $this->assertSame(['data one'], $this->locks());
        $this->assertTrue($handler->write('one', "a\0b"));
        $this->assertTrue($handler->close());
        $this->assertSame([], $this->locks());
        $this->assertSame("a\0b", $handler->read('one'));
        $this->assertTrue($handler->session_exists('one'));
        $this->assertFalse($handler->session_exists('two'));
        $handler->close();
    }

    /**
     * A session that is only read needs no lock, and waits for none.
     */
    public function test_read_only(): void {
        $this->session('one', 2);
        $writer = $this->handler();
        $writer->read('one');
        $reader = $this->handler(false);
        $this->assertSame('data', $reader->read('one'));
        $this->assertEquals(2, $reader->get_session_by_sid('one')->userid);
        $this->assertSame(['data one'], $this->locks());
        $reader->close();
        $this->assertSame(['data one'], $this->locks());
        $writer->close();
    }

    /**
     * Data that has not changed is written only when the session is to live on.
     */
    public function test_unchanged_data(): void {
        $this->session('one', 2);
        $store = \Larder\Store::open(server::configuration());
        $handler = $this->handler();
        $handler->read('one');
        $before = $store->stats()['sets'];
        $handler->write('one', 'data');
        $this->assertSame($before, $store->stats()['sets']);
        $handler->update_session((object)['sid' => 'one', 'timemodified' => time() + 30]);
        $before = $store->stats()['sets'];
        $handler->write('one', 'data');
        $this->assertSame($before + 1, $store->stats()['sets']);
        $handler->close();
        // Without the lock of the session: record, index and data.
        $this->handler(false)->update_session((object)['sid' => 'one', 'timemodified' => time() + 60]);
        $this->assertSame($before + 4, $store->stats()['sets']);
    }

    /**
     * Sessions do not wait for one another; for a session that is locked a request waits so long, and then says who has it.
     */
    public function test_waiting(): void {
        $_SERVER['REQUEST_URI'] = '/course/view.php?id=2&secret=hush';
        $holder = $this->handler();
        $holder->read('one');
        $waiting = $this->handler();
        $waiting->read('two');
        try {
            $waiting->read('one');
            $this->fail('Two requests have the session.');
        } catch (exception $e) {
            $this->assertSame('sessioncannotobtainlock', $e->errorcode);
            $this->assertStringContainsString('/course/view.php', $e->a->whohaslock);
            $this->assertStringNotContainsString('hush', $e->a->whohaslock . file_get_contents(ini_get('error_log')));
        }
        $waiting->close();
        $holder->write('one', 'data');
        $holder->close();
        $this->assertSame('data', $waiting->read('one'));
        $waiting->close();
    }

    /**
     * More than so many may not wait.
     */
    public function test_bound_of_waiters(): void {
        global $CFG;
        $CFG->session_larder_max_waiters = 2;
        $holder = $this->handler();
        $holder->read('one');
        $cache = \Larder\Store::open(server::configuration())->cache('sessions', ['near' => false]);
        // One waits already: this one may wait, too, but no third.
        $cache->acquireLock('place one 0', 'other', 0);
        try {
            $this->handler()->read('one');
            $this->fail('Two requests have the session.');
        } catch (exception $e) {
            $this->assertSame('sessioncannotobtainlock', $e->errorcode);
        }
        $this->assertEqualsCanonicalizing(['data one', 'place one 0'], $this->locks());
        $cache->acquireLock('place one 1', 'another', 0);
        try {
            $this->handler()->read('one');
            $this->fail('A third may wait.');
        } catch (exception $e) {
            $this->assertSame('sessionwaiterr', $e->errorcode);
        }
        $cache->releaseLock('place one 0', 'other');
        $cache->releaseLock('place one 1', 'another');
        $holder->close();
    }

    /**
     * What is kept of a session beside its data.
     */
    public function test_records(): void {
        $made = $this->session('one', 2);
        $this->session('two', 2);
        $this->session('three', 22);
        $handler = $this->handler(false);
        $this->assertEquals($made, $handler->get_session_by_sid('one'));
        $this->assertSame('one', $made->id);
        $this->assertEquals(new \stdClass(), $handler->get_session_by_sid('none'));
        $this->assertSame(['one', 'two'], self::ids($handler->get_sessions_by_userid(2)));
        $this->assertSame(['one', 'three', 'two'], self::ids($handler->get_all_sessions()));

        $this->assertTrue($handler->update_session((object)['id' => 'one', 'lastip' => '8.8.8.8']));
        $changed = $handler->get_session_by_sid('one');
        $this->assertSame('8.8.8.8', $changed->lastip);
        $this->assertEquals(2, $changed->userid);
        $handler->update_session((object)['sid' => 'one', 'userid' => 22]);
        $this->assertSame(['two'], self::ids($handler->get_sessions_by_userid(2)));
        $this->assertSame(['one', 'three'], self::ids($handler->get_sessions_by_userid(22)));
    }

    /**
     * What is destroyed is gone, and no update brings it back.
     */
    public function test_destroy(): void {
        $this->session('one', 2);
        $this->session('two', 2);
        $this->session('three', 3);
        $handler = $this->handler();
        $handler->read('one');
        $this->assertTrue($handler->destroy('one'));
        $this->assertSame([], $this->locks());
        $this->assertFalse($handler->session_exists('one'));
        $this->assertFalse($handler->update_session((object)['sid' => 'one', 'timemodified' => time()]));
        $this->assertSame('', $handler->read('one'));
        $handler->close();
        $this->assertSame(['two'], self::ids($handler->get_sessions_by_userid(2)));
        $this->assertTrue($handler->destroy_all());
        $this->assertSame([], self::ids($handler->get_all_sessions()));
        $this->assertFalse($handler->session_exists('three'));
    }

    /**
     * Sessions of users of an authentication plugin.
     */
    public function test_destroy_by_auth_plugin(): void {
        $manual = $this->getDataGenerator()->create_user();
        $other = $this->getDataGenerator()->create_user(['auth' => 'db']);
        $this->session('one', $manual->id);
        $this->session('two', $other->id);
        $this->handler()->destroy_by_auth_plugin('manual');
        $this->assertFalse($this->handler()->session_exists('one'));
        $this->assertTrue($this->handler()->session_exists('two'));
    }

    /**
     * How long sessions live: as those of Moodle's own handler for Redis.
     */
    public function test_lifetime(): void {
        global $CFG;
        $method = new \ReflectionMethod(handler::class, 'lifetime');
        $lifetime = fn(array $record) => $method->invoke($this->handler(), (object)$record);
        $this->assertSame(500, $lifetime(['userid' => $CFG->siteguest, 'timecreated' => 1, 'timemodified' => 1]));
        $this->assertSame(180, $lifetime([]));
        $this->assertSame(180, $lifetime(['userid' => 0, 'timecreated' => 1, 'timemodified' => 1]));
        $this->assertSame(180, $lifetime(['userid' => 0, 'timecreated' => 1, 'timemodified' => 2]));
        set_config('sessiontimeout', 1000);
        $this->assertSame(1080, $lifetime(['userid' => 0, 'timecreated' => 1, 'timemodified' => 2]));
        $this->assertSame(1080, $lifetime(['userid' => 2, 'timecreated' => 1, 'timemodified' => 1]));
        $CFG->session_update_timemodified_frequency = 60;
        $this->assertSame(1120, $lifetime(['userid' => 2, 'timecreated' => 1, 'timemodified' => 1]));
    }

    /**
     * Emptying caches, and all of the store that they are in, leaves sessions alone.
     */
    public function test_purges(): void {
        global $CFG;
        $this->session('one', 2);
        purge_all_caches();
        \Larder\Store::open(configuration::for_extension($CFG->session_larder))->purge();
        $this->assertTrue($this->handler()->session_exists('one'));
    }

    /**
     * Without a server nobody gets an empty session in the place of the own one.
     */
    public function test_server_away(): void {
        global $CFG;
        $CFG->session_larder = ['server' => 'redis://127.0.0.1:1'];
        foreach ([true, false] as $writes) {
            try {
                $this->handler($writes)->read('one');
                $this->fail('There is no server.');
            } catch (exception $e) {
                $this->assertSame('sessionstarterror', $e->errorcode);
            }
        }
        $CFG->session_larder = ['server' => 'nonsense:'];
        $this->expectException(exception::class);
        $this->handler()->init();
    }
}
