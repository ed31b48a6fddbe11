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
        return count($this->replays());
    }

    /**
     * Of each page on average: "reads", "hits", "writes" or "trips".
     *
     * @param int[]|null $pages Only these pages; null = all.
     */
    public function perPage(string $what, ?array $pages = null): float {
        $numbers = array_column($this->replays($pages), $what);
        return array_sum($numbers) / count($numbers);
    }

    /** Of the median page: "reads", "hits", "writes" or "trips". */
    public function ofMedianPage(string $what): int {
        return self::median(array_column($this->replays(), $what));
    }

    /** Part of the reads that found a value. */
    public function hitRate(): float {
        return $this->perPage('hits') / $this->perPage('reads');
    }

    /** Replays that wrote nothing and found all they read, and the round trips of one. */
    public function quiet(): array {
        $quiet = fn($replay) => $replay['writes'] === 0 && $replay['reads'] === $replay['hits'];
        $trips = array_column(array_filter($this->replays(), $quiet), 'trips');
        return [count($trips), array_sum($trips) / max(1, count($trips))];
    }

    /** Of the page that had most: "reads", "hits", "writes" or "trips". */
    public function most(string $what): int {
        return max(array_column($this->replays(), $what));
    }

    /**
     * Milliseconds in the store for an average page: of each page the median of all its replays, because now and then
     * a process waits for a processor.
     *
     * @param int[]|null $pages Only these pages; null = all.
     */
    public function milliseconds(?array $pages = null): float {
        $medians = array_map(fn($replays) => self::median(array_column($replays, 'nanoseconds')), $this->of($pages));
        return array_sum($medians) / count($medians) / 1e6;
    }

    /** @return array<int, list<array>> What was measured of these pages, or of all. */
    private function of(?array $pages): array {
        return $pages === null ? $this->measured : array_intersect_key($this->measured, array_flip($pages));
    }

    /** @return list<array> */
    private function replays(?array $pages = null): array {
        return array_merge(...$this->of($pages));
    }

    /**
     * The median.
     *
     * @param list<int|float> $numbers
     */
    public static function median(array $numbers): int|float {
        sort($numbers);
        return $numbers[intdiv(count($numbers), 2)];
    }
}
