<?php
/**
 * A store on a site where values cost something.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

/** A store that can lock a key and purge a definition. */
interface LockingStore extends Store {
    /** Waits for the lock on a key; false if it is not to be had. */
    public function lock(string $definition, string $key): bool;

    /** Gives it back. */
    public function unlock(string $definition, string $key): void;

    /** Deletes all values of a definition. */
    public function purge(string $definition): void;
}

/** Each value is computed before it is stored, and the first of a page under a lock, as Moodle computes the structure of a course. */
final class ComputingStore implements Store {
    /** @var int Nanoseconds that were spent on computing. */
    public int $computed = 0;

    private bool $locked = false;

    /** @param int $microseconds What a value costs. */
    public function __construct(private LockingStore $store, private int $microseconds) {
    }

    public function begin(): void {
        $this->store->begin();
    }

    public function get(string $definition, string $key): mixed {
        return $this->store->get($definition, $key);
    }

    public function getMany(string $definition, array $keys): array {
        return $this->store->getMany($definition, $keys);
    }

    public function set(string $definition, string $key, mixed $value): void {
        if ($this->locked) {
            $this->compute();
            $this->store->set($definition, $key, $value);
            return;
        }
        $this->locked = true;
        $got = $this->store->lock($definition, $key);
        // Who waited finds what the holder before computed.
        if ($this->store->get($definition, $key) === false) {
            $this->compute();
            $this->store->set($definition, $key, $value);
        }
        if ($got) {
            $this->store->unlock($definition, $key);
        }
    }

    public function delete(string $definition, string $key): void {
        $this->store->delete($definition, $key);
    }

    public function roundTrips(): int {
        return $this->store->roundTrips();
    }

    private function compute(): void {
        $start = hrtime(true);
        usleep($this->microseconds);
        $this->computed += hrtime(true) - $start;
    }
}
