<?php
/**
 * What the replays of several processes say together.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

/** The results of one store. */
final class Measures {
    /** @var array<int, list<array>> The measured replays by page, see {@see Replay::$measured}. */
    private array $measured = [];

    /** @param array[] $results Of each process. */
    public function __construct(array $results) {
        foreach ($results as $result) {
            foreach ($result['measured'] as $page => $replays) {
                $this->measured[$page] = [...($this->measured[$page] ?? []), ...$replays];
            }
        }
    }

    public function pages(): int {
        return count(array_merge(...$this->measured));
    }

    /** Of each page on average: "reads", "hits", "writes" or "trips". */
    public function perPage(string $what): float {
        return $this->sum($what) / $this->pages();
    }

    /** Of the median page: "reads", "hits", "writes" or "trips". */
    public function ofMedianPage(string $what): int {
        return self::median(array_column(array_merge(...$this->measured), $what));
    }

    /** Part of the reads that found a value. */
    public function hitRate(): float {
        return $this->sum('hits') / $this->sum('reads');
    }

    /** Replays that wrote nothing and found all they read, and the round trips of one. */
    public function quiet(): array {
        $quiet = fn($replay) => $replay['writes'] === 0 && $replay['reads'] === $replay['hits'];
        $trips = array_column(array_filter(array_merge(...$this->measured), $quiet), 'trips');
        return [count($trips), array_sum($trips) / max(1, count($trips))];
    }

    /**
     * Milliseconds in the store for an average page: of each page the median of all its replays, because now and then
     * a process waits for a processor.
     *
     * @param int[]|null $pages Only these pages; null = all.
     */
    public function milliseconds(?array $pages = null): float {
        $measured = $pages === null ? $this->measured : array_intersect_key($this->measured, array_flip($pages));
        $medians = array_map(fn($replays) => self::median(array_column($replays, 'nanoseconds')), $measured);
        return array_sum($medians) / count($medians) / 1e6;
    }

    private function sum(string $name): int {
        return array_sum(array_column(array_merge(...$this->measured), $name));
    }

    private static function median(array $numbers): int {
        sort($numbers);
        return $numbers[intdiv(count($numbers), 2)];
    }
}
