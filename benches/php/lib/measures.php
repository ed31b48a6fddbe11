<?php
/**
 * What the replays of several processes say together.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

/** The results of one store. */
final class Measures {
    /** @param array[] $results Of each process, see {@see Replay}. */
    public function __construct(private array $results) {
    }

    public function pages(): int {
        return array_sum(array_map(fn($result) => array_sum(array_map('count', $result['times'])), $this->results));
    }

    /** Of each page on average: "reads", "hits", "writes" or "trips". */
    public function perPage(string $what): float {
        return $this->sum($what) / $this->pages();
    }

    /** Part of the reads that found a value. */
    public function hitRate(): float {
        return $this->sum('hits') / $this->sum('reads');
    }

    /** Pages that wrote nothing and found all they read, and the round trips of one. */
    public function quiet(): array {
        return [$this->sum('quietPages'), $this->sum('quietTrips') / max(1, $this->sum('quietPages'))];
    }

    /**
     * Milliseconds in the store for an average page: of each page the median of all its replays, because now and then
     * a process waits for a processor.
     *
     * @param int[]|null $pages Only these pages; null = all.
     */
    public function milliseconds(?array $pages = null): float {
        $medians = [];
        foreach ($pages ?? array_keys($this->results[0]['times']) as $page) {
            $times = array_merge(...array_map(fn($result) => $result['times'][$page], $this->results));
            sort($times);
            $medians[] = $times[intdiv(count($times), 2)];
        }
        return array_sum($medians) / count($medians) / 1e6;
    }

    private function sum(string $name): int {
        return array_sum(array_column($this->results, $name));
    }
}
