<?php
/**
 * Plays a recording against a store and measures each page.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

/** One process's replay. */
final class Replay {
    /** @var array<int, list<int>> Nanoseconds in the store, by page and pass. */
    public array $times = [];

    /** Reads in the measured passes, and those that found a value. */
    public int $reads = 0;
    public int $hits = 0;

    /** Sets and deletes of the measured passes. */
    public int $writes = 0;

    /** Round trips or transactions of the measured passes. */
    public int $trips = 0;

    /** Pages of the measured passes that wrote nothing and found all they read, and what those took. */
    public int $quietPages = 0;
    public int $quietTrips = 0;

    public function __construct(private Recording $recording, private Store $store) {
    }

    /** Puts every recorded value into the store, as on a site that has been running for a while. */
    public function fill(): void {
        foreach ($this->recording->values as $definition => $values) {
            foreach ($values as $key => $value) {
                $this->store->set($definition, $key, $value);
            }
        }
    }

    /**
     * Plays all pages once to warm the process up, and compares every value read with the recorded one.
     *
     * @param callable(): void $each Called after each page.
     */
    public function verify(int $offset, callable $each): void {
        foreach ($this->pages($offset) as $ops) {
            $this->store->begin();
            foreach ($ops as $op) {
                $keys = (array)$op[2];
                foreach ($this->perform($op) as $at => $value) {
                    $expected = $this->recording->serialized[$op[1]][$keys[$at]] ?? null;
                    // What another process has just deleted may be missing; it can never be something else.
                    if ($value !== false && $expected !== null && serialize($value) !== $expected) {
                        throw new \RuntimeException("{$op[1]} {$keys[$at]}: the store returned another value");
                    }
                }
            }
            $each();
        }
    }

    /**
     * Plays all pages once and measures them; adds to what was measured before.
     *
     * @param callable(): void $each Called after each page.
     */
    public function measure(int $offset, callable $each): void {
        foreach ($this->pages($offset) as $page => $ops) {
            $before = [$this->reads, $this->hits, $this->store->roundTrips()];
            $this->times[$page][] = $this->page($ops);
            $trips = $this->store->roundTrips() - $before[2];
            $this->trips += $trips;
            $writes = count(array_diff(array_column($ops, 0), ['get', 'get_many']));
            $this->writes += $writes;
            if ($writes === 0 && $this->reads - $before[0] === $this->hits - $before[1]) {
                $this->quietPages++;
                $this->quietTrips += $trips;
            }
            $each();
        }
    }

    /**
     * Plays one page as the first of this process.
     *
     * @return array{nanoseconds: int, trips: int} What it took, connecting included.
     */
    public function first(int $page): array {
        foreach ($this->pages($page) as $ops) {
            return ['nanoseconds' => $this->page($ops), 'trips' => $this->store->roundTrips()];
        }
    }

    /** The page that reads most among those that write nothing. */
    public function largestQuietPage(): int {
        $reads = [];
        foreach ($this->pages(0) as $page => $ops) {
            $writes = array_diff(array_column($ops, 0), ['get', 'get_many']);
            $reads[$page] = $writes ? 0 : count($ops);
        }
        return array_search(max($reads), $reads, true);
    }

    /** Plays one page; nanoseconds that it took. Written flat, so that little but the store is measured. */
    private function page(array $ops): int {
        $store = $this->store;
        $values = $this->recording->values;
        $hits = $reads = 0;
        $start = hrtime(true);
        $store->begin();
        foreach ($ops as [$operation, $definition, $key]) {
            if ($operation === 'get') {
                $reads++;
                $hits += (int)($store->get($definition, $key) !== false);
            } else if ($operation === 'get_many') {
                foreach ($store->getMany($definition, $key) as $value) {
                    $reads++;
                    $hits += (int)($value !== false);
                }
            } else if ($operation === 'set') {
                $store->set($definition, $key, $values[$definition][$key]);
            } else {
                $store->delete($definition, $key);
            }
        }
        $time = hrtime(true) - $start;
        $this->reads += $reads;
        $this->hits += $hits;
        return $time;
    }

    /** Performs one operation; the values that it read. */
    private function perform(array $op): array {
        [$operation, $definition, $key] = $op;
        switch ($operation) {
            case 'get':
                return [$this->store->get($definition, $key)];
            case 'get_many':
                return array_values($this->store->getMany($definition, $key));
            case 'set':
                $this->store->set($definition, $key, $this->recording->values[$definition][$key]);
                return [];
            case 'delete':
                $this->store->delete($definition, $key);
                return [];
        }
        throw new \LogicException("no way to replay the operation {$operation}");
    }

    /** The pages, beginning with another one in each process; locks are left out, no store here has them all. */
    private function pages(int $offset): \Generator {
        $count = count($this->recording->requests);
        for ($i = 0; $i < $count; $i++) {
            $page = ($i + $offset) % $count;
            $ops = $this->recording->requests[$page]['ops'];
            yield $page => array_values(array_filter($ops, fn($op) => $op[0] !== 'lock' && $op[0] !== 'unlock'));
        }
    }
}
