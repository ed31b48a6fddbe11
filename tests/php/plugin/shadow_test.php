<?php
/**
 * The store that Moodle used before beside Larder: it is kept up to date, and differences are counted.
 *
 * @license MIT OR Apache-2.0
 */

use cachestore_larder\shadow;
use core_cache\store;

final class shadow_test extends plugin_testcase {
    /** A store as Moodle has others, in memory. */
    private function old_store(): store {
        return new class ('old') extends store {
            public array $values = [];

            public function __construct($name, array $configuration = []) {
            }

            public function get_many(array $keys): array {
                return array_replace(array_fill_keys($keys, false), array_intersect_key($this->values, array_flip($keys)));
            }

            public function set($key, $value): void {
                $this->values[$key] = $value;
            }

            public function set_many(array $items): void {
                $this->values = array_column($items, 'value', 'key') + $this->values;
            }

            public function delete($key): void {
                unset($this->values[$key]);
            }

            public function delete_many(array $keys): void {
                $this->values = array_diff_key($this->values, array_flip($keys));
            }

            public function purge(): void {
                $this->values = [];
            }
        };
    }

    public function test_both_are_written_and_compared(): void {
        (new ReflectionProperty(shadow::class, 'counts'))->setValue(null, []);
        $larder = Larder\Store::open(\cachestore_larder\configuration::for_extension($this->configuration()));
        $cache = $larder->cache('c');
        $old = $this->old_store();
        $shadow = new shadow($cache, $old, 'core/test');

        $this->assertTrue($shadow->set('a', [1]));
        $this->assertSame(2, $shadow->setMany(['b' => 2, 'c' => false]));
        $this->assertEquals(['a' => [1], 'b' => 2, 'c' => false], $old->values);
        $this->assertSame(['a' => [1], 'b' => 2, 'c' => false], $shadow->getMany(['a', 'b', 'c', 'none']));
        $old->values = ['a' => [2], 'd' => 4];
        $this->assertSame([1], $shadow->get('a'));
        $this->assertSame(2, $shadow->get('b'));
        $this->assertSame('default', $shadow->get('d', 'default'));
        $this->assertTrue($shadow->has('b'));

        for ($process = 0; $process < 2; $process++) {
            shadow::save($larder);
        }
        $report = shadow::report($larder)['core/test'];
        $this->assertSame([7, 1, 1, 1], [$report['reads'], $report['other'], $report['missing'], $report['only']]);
        $this->assertGreaterThan(0, $report['larder']);
        $shadow->get('a');
        shadow::save($larder);
        $this->assertSame(8, shadow::report($larder)['core/test']['reads']);

        $this->assertTrue($shadow->delete('a'));
        $this->assertSame(1, $shadow->deleteMany(['b']));
        $this->assertSame(['d' => 4], $old->values);
        $this->assertTrue($shadow->purge());
        $this->assertSame([], $old->values);
        $this->assertFalse($cache->has('c'));
    }
}
