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
    /** How many pages are played before any is measured. */
    private const WARM_UP = 20;

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
     * Plays all pages once and measures them; adds to what was measured before. The last ones are played before that, unmeasured:
     * the processors have just served another store, and have forgotten this one.
     *
     * @param callable(): void $each Called after each page.
     * @param int[]|null $only Only these pages; null = all.
     */
    public function measure(int $offset, callable $each, ?array $only = null): void {
        $pages = $only ?? $this->order($offset);
        foreach (array_slice($pages, -self::WARM_UP) as $page) {
            self::play($this->recording->pages[$page]->ops, $this->store);
        }
        foreach ($pages as $page) {
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
        $reads = $misses = $fills = 0;
        $missed = [];
        foreach ($ops as [$operation, $definition, $keys]) {
            foreach ((array)$keys as $key) {
                $missed[$definition][$key] = false;
                $reads += (int)!in_array($operation, ['fill', 'set', 'delete'], true);
            }
        }
        $start = hrtime(true);
        $store->begin();
        foreach ($ops as $op) {
            if ($op[0] === 'get') {
                if ($store->get($op[1], $op[2]) === false) {
                    $misses++;
                }
            } else if ($op[0] === 'get_many') {
                foreach ($store->getMany($op[1], $op[2]) as $found) {
                    $misses += (int)($found === false);
                }
            } else if ($op[0] === 'look') {
                $missed[$op[1]][$op[2]] = $store->get($op[1], $op[2]) === false;
                $misses += (int)$missed[$op[1]][$op[2]];
            } else if ($op[0] === 'look_many') {
                foreach ($store->getMany($op[1], $op[2]) as $key => $found) {
                    $missed[$op[1]][$key] = $found === false;
                    $misses += (int)($found === false);
                }
            } else if ($op[0] === 'fill') {
                if ($missed[$op[1]][$op[2]]) {
                    $store->set($op[1], $op[2], $op[3]);
                    $fills++;
                }
            } else if ($op[0] === 'set') {
                $store->set($op[1], $op[2], $op[3]);
            } else {
                $store->delete($op[1], $op[2]);
            }
        }
        $nanoseconds = hrtime(true) - $start;
        return ['nanoseconds' => $nanoseconds, 'reads' => $reads, 'hits' => $reads - $misses, 'writes' => $fills];
    }

    /** The numbers of the pages, beginning with another one in each process. */
    private function order(int $offset): array {
        $pages = array_keys($this->recording->pages);
        return [...array_slice($pages, $offset), ...array_slice($pages, 0, $offset)];
    }
}
