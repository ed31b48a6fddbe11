<?php
/**
 * Session caches: what a session's caches held comes in two round trips, and what changes is seen.
 *
 * @license MIT OR Apache-2.0
 */

use cachestore_larder\session\memory;
use core_cache\store;

final class session_caches_test extends plugin_testcase {
    /** What Moodle's keys of this session begin with. */
    private const KEY = 'u2_standin';

    protected function setUp(): void {
        parent::setUp();
        $this->end_request();
        $GLOBALS['CFG']->sessiontimeout = 7200;
    }

    protected function tearDown(): void {
        unset($GLOBALS['CFG']->sessiontimeout);
        parent::tearDown();
    }

    /** The end of a request, and of what its process knows of session caches. */
    private function end_request(): void {
        $all = new ReflectionProperty(memory::class, 'all');
        array_map(fn($memory) => $memory->save(), $all->getValue());
        $all->setValue(null, []);
        unset($GLOBALS['PERF']);
    }

    /** Stores for some session caches. */
    private function stores(int $count): array {
        return array_map(function (int $number): cachestore_larder {
            $store = new cachestore_larder('test', $this->configuration());
            $store->initialise($this->definition(store::MODE_SESSION, ['area' => "area$number"]));
            return $store;
        }, range(1, $count));
    }

    /** The round trips that something takes. */
    private function trips(callable $run, array $more = []): int {
        $store = Larder\Store::open(\cachestore_larder\configuration::for_extension($this->configuration($more)));
        $before = $store->stats()['round_trips'];
        $run();
        return $store->stats()['round_trips'] - $before;
    }

    public function test_two_round_trips_bring_what_the_session_used_before(): void {
        $stores = $this->stores(3);
        foreach ($stores as $number => $store) {
            $store->set('__lastaccess__' . self::KEY, 1000);
            $this->assertFalse($store->get(self::KEY . '_missing'));
            $store->set(self::KEY . '_value', ["value$number"]);
        }
        $this->end_request();
        $stores = $this->stores(3);
        $trips = $this->trips(function () use ($stores): void {
            foreach ($stores as $number => $store) {
                $store->set('__lastaccess__' . self::KEY, 1009);
                $this->assertFalse($store->get(self::KEY . '_missing'));
                $this->assertSame(["value$number"], $store->get(self::KEY . '_value'));
                $this->assertTrue($store->has('__lastaccess__' . self::KEY));
            }
            $this->end_request();
        });
        $this->assertSame(2, $trips);
    }

    public function test_the_last_access_is_written_now_and_then(): void {
        foreach ([1000 => 1000, 1299 => 1000, 1301 => 1301] as $now => $noted) {
            [$store] = $this->stores(1);
            $this->assertTrue($store->set('__lastaccess__' . self::KEY, $now));
            $this->end_request();
            [$store] = $this->stores(1);
            $this->assertSame($noted, $store->get('__lastaccess__' . self::KEY));
            $this->end_request();
        }
    }

    public function test_a_wait_for_the_session_makes_all_new(): void {
        [$store] = $this->stores(1);
        $store->set(self::KEY . '_value', 'old');
        $this->assertSame('old', $store->get(self::KEY . '_value'));
        $this->change_elsewhere('_value', 'new');
        $GLOBALS['PERF'] = (object)['sessionlock' => ['gained' => 2.0]];
        $this->assertSame('new', $store->get(self::KEY . '_value'));
    }

    public function test_without_staleness_the_server_is_asked(): void {
        $store = new cachestore_larder('test', $this->configuration(['max_staleness' => 0]));
        $store->initialise($this->definition(store::MODE_SESSION, ['area' => 'area1']));
        $store->set(self::KEY . '_value', 'old');
        $this->change_elsewhere('_value', 'new');
        $read = fn() => $this->assertSame('new', $store->get(self::KEY . '_value'));
        $trips = $this->trips($read, ['max_staleness' => 0]);
        $this->assertSame(1, $trips);
    }

    public function test_own_writes_are_seen(): void {
        [$store, $other] = $this->stores(2);
        $other->set(self::KEY . '_value', 'other');
        $store->set(self::KEY . '_value', 1);
        $store->set(self::KEY . '_value', [2]);
        $this->assertSame([2], $store->get(self::KEY . '_value'));
        $this->assertTrue($store->delete(self::KEY . '_value'));
        $this->assertFalse($store->get(self::KEY . '_value'));
        foreach (['delete' => '_value', 'delete_many' => ['_value']] as $method => $keys) {
            $store->set(self::KEY . '_value', 3);
            $this->assertSame(3, $store->get(self::KEY . '_value'));
            $store->$method(is_array($keys) ? [self::KEY . $keys[0]] : self::KEY . $keys);
            $this->assertFalse($store->get(self::KEY . '_value'));
        }
        $store->set(self::KEY . '_value', 3);
        $this->assertSame(3, $store->get(self::KEY . '_value'));
        $store->purge();
        $this->assertFalse($store->get(self::KEY . '_value'));
        $this->assertSame('other', $other->get(self::KEY . '_value'));
    }

    public function test_an_object_is_given_to_one_only(): void {
        [$store] = $this->stores(1);
        $store->set(self::KEY . '_value', (object)['a' => 1]);
        $this->end_request();
        [$store] = $this->stores(1);
        $store->get(self::KEY . '_value')->a = 2;
        $this->assertSame(1, $store->get(self::KEY . '_value')->a);
    }

    public function test_what_was_missing_is_asked_for_again(): void {
        [$store] = $this->stores(1);
        $this->assertFalse($store->get(self::KEY . '_value'));
        $this->end_request();
        [$store] = $this->stores(1);
        $this->assertFalse($store->get(self::KEY . '_value'));
        $this->change_elsewhere('_value', 'new');
        $this->assertSame('new', $store->get(self::KEY . '_value'));
    }

    public function test_another_session_keeps_no_list(): void {
        [$store] = $this->stores(1);
        $store->set('u2_other_value', 1);
        $store->get('u2_other_value');
        $this->assertSame(1, $this->trips(fn() => $store->get('u2_other_value')));
        $this->assertSame(0, $this->trips(fn() => $this->end_request()));
    }

    /** Changes a value as another process does. */
    private function change_elsewhere(string $key, $value): void {
        $all = new ReflectionProperty(memory::class, 'all');
        $kept = $all->getValue();
        $all->setValue(null, []);
        [$store] = $this->stores(1);
        $store->set(self::KEY . $key, $value);
        $all->setValue(null, $kept);
    }
}
