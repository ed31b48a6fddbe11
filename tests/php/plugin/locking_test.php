<?php
/**
 * Locks of the store when the server keeps them, and when it is away.
 *
 * @license MIT OR Apache-2.0
 */

final class locking_test extends plugin_testcase {
    /** What the extension answers, and what it was asked to write or remove. */
    private object $probe;

    private cachestore_larder $store;

    protected function setUp(): void {
        parent::setUp();
        $this->store = $this->store();
        $this->probe = new class {
            public bool $got = true;
            public float $takes = 0;
            public array $calls = [];

            public function acquireLock(string $key, string $owner, float $wait): bool {
                usleep((int)($this->takes * 1e6));
                return $this->got;
            }

            public function __call(string $method, array $arguments) {
                $this->calls[] = [$method, $arguments[0]];
                return $method === 'setMany' ? count($arguments[0]) : true;
            }
        };
        $this->inject($this->store, 'cache', $this->probe);
    }

    public function test_the_server_keeps_locks(): void {
        $this->assertTrue($this->store->acquire_lock('k', 'me'));
        $this->assertTrue($this->store->set('k', 1));
        $this->assertTrue($this->store->release_lock('k', 'me'));
        $this->assertSame(['set', 'releaseLock'], array_column($this->probe->calls, 0));
    }

    public function test_a_lock_of_another_is_not_got(): void {
        $this->probe->got = false;
        $this->probe->takes = 0.01;
        $this->assertFalse($this->store->acquire_lock('k', 'me', 0.01));
        $this->probe->takes = 0;
        $this->assertFalse($this->store->acquire_lock('k', 'me', 0));
        $this->assertTrue($this->store->set('k', 1));
    }

    /** The page goes on, and nothing that it writes without a lock is kept. */
    public function test_a_server_that_is_away_gives_locks_in_name_only(): void {
        $this->probe->got = false;
        $this->assertTrue($this->store->acquire_lock('7', 'me', 5));
        $this->assertTrue($this->store->check_lock_state(7, 'me'));
        $this->assertSame([], $this->probe->calls);

        // The server may be back by now.
        $this->assertFalse($this->store->set('7', 1));
        $this->assertSame([['delete', '7']], $this->probe->calls);
        $this->assertSame(1, $this->store->set_many([['key' => '7', 'value' => 1], ['key' => '8', 'value' => 1]]));
        $this->assertSame([['delete', '7'], ['set', '8']], array_slice($this->probe->calls, 1));

        $this->assertTrue($this->store->release_lock('7', 'me'));
        $this->assertSame(2, $this->store->set_many([['key' => '7', 'value' => 1], ['key' => '8', 'value' => 1]]));
        $this->assertSame('setMany', end($this->probe->calls)[0]);
    }

    /** A wait that is shorter than the server's timeouts. */
    public function test_an_outage_that_takes_longer_than_the_wait(): void {
        $this->probe->got = false;
        $this->probe->takes = 0.01;
        $this->inject($this->store, 'store', new class {
            public function health(): array {
                return ['reachable' => false];
            }
        });
        $this->assertTrue($this->store->acquire_lock('k', 'me', 0.001));
    }
}
