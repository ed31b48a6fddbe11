<?php
/**
 * Plays a recording against a store and measures each page.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

require_once __DIR__ . '/checked.php';

/** One process's replay. */
final class Replay {
    /**
     * @var array<int, list<array{nanoseconds: int, reads: int, hits: int, writes: int, trips: int}>> Each measured
     *     replay of a page: time in the store, reads, those that found a value, writes, round trips or transactions.
     */
    public array $measured = [];

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
     * @param int[]|null $only Only these pages; null = all.
     */
    public function verify(int $offset, callable $each, ?array $only = null): void {
        $checked = new CheckedStore($this->store, $this->recording->serialized);
        foreach ($only ?? $this->order($offset) as $page) {
            self::play($this->recording->pages[$page]->ops, $checked);
            $each();
        }
    }

    /**
     * Plays all pages once and measures them; adds to what was measured before.
     *
     * @param callable(): void $each Called after each page.
     * @param int[]|null $only Only these pages; null = all.
     */
    public function measure(int $offset, callable $each, ?array $only = null): void {
        foreach ($only ?? $this->order($offset) as $page) {
            $before = $this->store->roundTrips();
            $measured = self::play($this->recording->pages[$page]->ops, $this->store);
            $measured['writes'] += $this->recording->pages[$page]->writes;
            $this->measured[$page][] = $measured + ['trips' => $this->store->roundTrips() - $before];
            $each();
        }
    }

    /**
     * Plays a page as the first of this process: the one that reads most among those that write nothing.
     *
     * @return array{nanoseconds: int, trips: int} What it took, connecting included.
     */
    public function first(): array {
        $pages = array_intersect_key($this->recording->pages, array_flip($this->recording->readers()));
        usort($pages, fn($one, $other) => count($other->ops) <=> count($one->ops));
        return self::play($pages[0]->ops, $this->store) + ['trips' => $this->store->roundTrips()];
    }

    /**
     * Plays one page. Written flat, so that little but the store is measured: an application has just made the key that it
     * asks for, while those of a recording come out of memory that nobody has looked at since the pass before. So they are
     * looked at before the clock starts.
     *
     * @return array{nanoseconds: int, reads: int, hits: int, writes: int} Of the writes only the fills.
     */
    public static function play(array $ops, Store $store): array {
        $hits = $reads = $fills = 0;
        $missed = [];
        foreach ($ops as [, $definition, $key]) {
            foreach ((array)$key as $one) {
                $missed[$definition][$one] = false;
            }
        }
        $start = hrtime(true);
        $store->begin();
        foreach ($ops as [$operation, $definition, $key, $value]) {
            if ($operation === 'get') {
                $reads++;
                $hits += (int)($store->get($definition, $key) !== false);
            } else if ($operation === 'get_many') {
                foreach ($store->getMany($definition, $key) as $found) {
                    $reads++;
                    $hits += (int)($found !== false);
                }
            } else if ($operation === 'look') {
                $reads++;
                $hits += (int)($found = $store->get($definition, $key) !== false);
                $missed[$definition][$key] = !$found;
            } else if ($operation === 'look_many') {
                foreach ($store->getMany($definition, $key) as $one => $found) {
                    $reads++;
                    $hits += (int)($found !== false);
                    $missed[$definition][$one] = $found === false;
                }
            } else if ($operation === 'fill') {
                if ($missed[$definition][$key]) {
                    $store->set($definition, $key, $value);
                    $fills++;
                }
            } else if ($operation === 'set') {
                $store->set($definition, $key, $value);
            } else {
                $store->delete($definition, $key);
            }
        }
        return ['nanoseconds' => hrtime(true) - $start, 'reads' => $reads, 'hits' => $hits, 'writes' => $fills];
    }

    /** The numbers of the pages, beginning with another one in each process. */
    private function order(int $offset): array {
        $pages = array_keys($this->recording->pages);
        return [...array_slice($pages, $offset), ...array_slice($pages, 0, $offset)];
    }
}
