<?php
/**
 * The return contract that Moodle holds stores to.
 *
 * @license MIT OR Apache-2.0
 */

use core_cache\store;

final class store_test extends plugin_testcase {
    public static function modes(): array {
        return ['application' => [store::MODE_APPLICATION], 'session' => [store::MODE_SESSION]];
    }

    /** @dataProvider modes */
    public function test_values_come_out_as_they_went_in(int $mode): void {
        $store = $this->store($mode);
        $object = (object)['data' => [1, '1', 1.0, true, null]];
        foreach (['text', '3', 3, 3.5, true, false, null, ['a' => [7 => 'b']], $object] as $value) {
            $this->assertTrue($store->set('key', $value));
            $this->assertEquals($value, $store->get('key'));
            $this->assertSame(gettype($value), gettype($store->get('key')));
        }
        $this->assertNotSame($object, $store->get('key'));
    }

    /** @dataProvider modes */
    public function test_delete_tells_whether_there_was_an_entry(int $mode): void {
        $store = $this->store($mode);
        $store->set('key', 1);
        $this->assertTrue($store->delete('key'));
        $this->assertFalse($store->delete('key'));
        $this->assertFalse($store->get('key'));
    }

    /** @dataProvider modes */
    public function test_many(int $mode): void {
        $store = $this->store($mode);
        $items = array_map(fn($n) => ['key' => "k{$n}", 'value' => $n === 2 ? null : "v{$n}"], range(1, 4));
        $this->assertSame(4, $store->set_many($items));
        $this->assertSame(
            ['k4' => 'v4', 'none' => false, 'k2' => null, 'k1' => 'v1'],
            $store->get_many(['x' => 'k4', 'y' => 'none', 'z' => 'k2', 'k1'])
        );
        $this->assertSame([], $store->get_many([]));
        $this->assertSame(0, $store->set_many([]));
        $this->assertSame(2, $store->delete_many(['k1', 'none', 'k2']));
        $this->assertTrue($store->has('k3'));
        $this->assertTrue($store->has_any(['k1', 'k3']));
        $this->assertFalse($store->has_any(['k1', 'k2']));
        $this->assertFalse($store->has_all(['k1', 'k3']));
        $this->assertTrue($store->has_all(['k3', 'k4']));
    }

    /** @dataProvider modes */
    public function test_integer_keys_are_the_same_as_strings_of_digits(int $mode): void {
        $store = $this->store($mode);
        $this->assertTrue($store->set(5, 'five'));
        $this->assertSame('five', $store->get('5'));
        $this->assertTrue($store->has(5));
        $this->assertSame(1, $store->set_many([['key' => '6', 'value' => 'six']]));
        $this->assertSame([5 => 'five', 6 => 'six', 7 => false], $store->get_many([5, '6', 7]));
        $this->assertSame('six', $store->get_many(['6'])[6]);
        $this->assertTrue($store->has_any([5, 7]));
        $this->assertTrue($store->has_all([5, 6]));
        $this->assertSame(['5', '6'], $this->sorted($store->find_all()));
        $this->assertSame(['5'], $store->find_by_prefix(5));
        $this->assertSame(1, $store->delete_many([6, 7]));
        $this->assertTrue($store->delete(5));
    }

    /** @dataProvider modes */
    public function test_keys_are_found_completely(int $mode): void {
        $store = $this->store($mode);
        $keys = array_map(fn($n) => "u{$n}_session_key", range(1, 3000));
        $store->set_many(array_map(fn($key) => ['key' => $key, 'value' => 1], $keys));
        $this->assertSame($this->sorted($keys), $this->sorted($store->find_all()));
        $this->assertCount(1111, $store->find_by_prefix('u1'));
        $this->assertSame([], $store->find_by_prefix('none'));
    }

    /** @dataProvider modes */
    public function test_purge(int $mode): void {
        $store = $this->store($mode);
        $store->set('key', 1);
        $this->assertTrue($store->purge());
        $this->assertFalse($store->get('key'));
        $this->assertSame([], $store->find_all());
    }

    /** @dataProvider modes */
    public function test_a_negative_ttl_is_accepted_and_expired_at_once(int $mode): void {
        $store = $this->store($mode, ['ttl' => -86400]);
        $this->assertTrue($store->set('key', 1));
        $this->assertFalse($store->get('key'));
        $this->assertFalse($store->has('key'));
        $this->assertSame(2, $store->set_many([['key' => 'a', 'value' => 1], ['key' => 'b', 'value' => 2]]));
        $this->assertSame(['a' => false, 'b' => false], $store->get_many(['a', 'b']));
    }

    /** @dataProvider modes */
    public function test_a_value_that_cannot_be_stored_removes_the_old_one(int $mode): void {
        $store = $this->store($mode);
        $store->set('key', 'old');
        $this->assertFalse($store->set('key', fn() => 1));
        $this->assert_debugging('ValueException');
        $this->assertFalse($store->get('key'));

        $store->set('bad', 'old');
        $this->assertSame(2, $store->set_many([
            ['key' => 'a', 'value' => 1],
            ['key' => 'bad', 'value' => fn() => 1],
            ['key' => 'b', 'value' => 2],
        ]));
        $this->assert_debugging('ValueException');
        $this->assertSame(['a' => 1, 'bad' => false, 'b' => 2], $store->get_many(['a', 'bad', 'b']));
    }

    public function test_clones_are_bound_apart(): void {
        $first = $this->store();
        $second = clone $first;
        $second->initialise($this->definition(store::MODE_SESSION));
        $first->set('key', 1);
        $this->assertFalse($second->get('key'));
        $second->set('key', 2);
        $second->purge();
        $this->assertSame(1, $first->get('key'));
    }

    public function test_features(): void {
        $store = $this->store();
        $this->assertSame(
            store::SUPPORTS_DATA_GUARANTEE | store::SUPPORTS_NATIVE_TTL | store::IS_SEARCHABLE | store::DEREFERENCES_OBJECTS,
            $store::get_supported_features()
        );
        $this->assertSame(3, $store::get_supported_modes());
        $this->assertFalse($store::is_supported_mode(store::MODE_REQUEST));
        $this->assertSame('test', $store->my_name());
    }

    private function sorted(array $keys): array {
        sort($keys);
        return $keys;
    }
}
