<?php
/**
 * Ways to tell a process what changed, simulated: what an answer takes, and what the process keeps.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

/**
 * A process that holds all that the recording reads plays reading pages; between two of them others change what {@see Changes} draws. What
 * such an answer takes is counted in the bytes that Redis sends and is sent for it.
 */
final class Candidates {
    /** A record of the log with one change. */
    private const RECORD = 145;

    /** The last change of a cache, in an answer that has those of all. */
    private const LAST = 50;

    /** To ask for what one name stands for, and the answer, beside the name itself. */
    private const ASKED = 30;

    /** Changes that an answer lists. */
    private const MOST = 1000;

    private const PAGES = 300;

    /** A cache is chatty that changes more often a second than it is read. */
    private const RATES = [100, 1000, 5000];

    /** @var list<array<string, array<string, int>>> How often each reading page reads each key, by definition. */
    private array $pages;

    /** @var array<string, array<string, true>> What all of them read. */
    private array $held = [];

    public function __construct(private Recording $recording, private int $workers, private float $idle) {
        foreach ($recording->readers() as $number) {
            $page = [];
            foreach ($recording->pages[$number]->ops as [$operation, $definition, $keys]) {
                if (!in_array($operation, ['fill', 'set', 'delete'], true)) {
                    foreach ((array)$keys as $key) {
                        $page[$definition][$key] = ($page[$definition][$key] ?? 0) + 1;
                        $this->held[$definition][$key] = true;
                    }
                }
            }
            $this->pages[] = $page;
        }
    }

    public function show(Screen $screen): void {
        $screen->line();
        $screen->line('Candidates, simulated: bytes that tell a page what changed, and the part of its reads that memory still answers.');
        $rows = [];
        foreach (self::RATES as $rate) {
            foreach ($this->simulate($rate) as $label => [$bytes, $kept]) {
                $rows[$label] ??= [$label];
                $rows[$label][] = sprintf('%s, %.1f %%', number_format($bytes), 100 * $kept);
            }
        }
        $screen->table(['', ...array_map(fn($rate) => number_format($rate) . ' a second', self::RATES)], array_values($rows));
    }

    /** @return array<string, array{float, float}> Bytes, and the part of the reads that is kept, by candidate. */
    private function simulate(int $rate): array {
        $changes = new Changes($this->recording);
        $sums = [];
        $reads = 0;
        for ($i = 0; $i < self::PAGES; $i++) {
            $page = $this->pages[$i % count($this->pages)];
            $reads += array_sum(array_map('array_sum', $page));
            $counts = $changed = [];
            $count = (int)($rate * $this->idle);
            for ($n = 0; $n < $count; $n++) {
                [, $definition, $key] = $changes->draw();
                $counts[$definition] = ($counts[$definition] ?? 0) + 1;
                $changed[$definition][$key] = true;
            }
            foreach ($this->candidates($page, $counts, $changed) as $label => [$bytes, $lost]) {
                $sums[$label][0] = ($sums[$label][0] ?? 0) + $bytes;
                $sums[$label][1] = ($sums[$label][1] ?? 0) + $lost;
            }
        }
        return array_map(fn($sum) => [$sum[0] / self::PAGES, 1 - $sum[1] / $reads], $sums);
    }

    /**
     * @param array<string, array<string, int>> $page What the page reads.
     * @param array<string, int> $counts Changes by definition.
     * @param array<string, array<string, true>> $changed The keys that changed.
     * @return array<string, array{float, int}> Bytes and reads that are lost, by candidate.
     */
    private function candidates(array $page, array $counts, array $changed): array {
        $all = array_sum($counts);
        // Reads of what really changed, and of all in certain definitions.
        $exact = array_sum(array_map(fn($name) => array_sum(array_intersect_key($page[$name], $changed[$name] ?? [])), array_keys($page)));
        $of = fn(array $names) => array_sum(array_map('array_sum', array_intersect_key($page, $names)));
        $perSecond = fn(string $name) => array_sum($page[$name] ?? []) / $this->idle;
        $chatty = array_filter($counts, fn($count, $name) => $count / $this->idle > $perSecond($name), ARRAY_FILTER_USE_BOTH);
        $followed = array_intersect_key($counts, $this->held);
        // Definitions are named until the rest can be listed: the one with fewest changes that suffices, or else with most.
        asort($counts);
        $named = [];
        for ($left = $all; $left + count($named) > self::MOST;) {
            $others = array_diff_key($counts, $named);
            $suffice = array_filter($others, fn($count) => $left - $count + count($named) + 1 <= self::MOST);
            $name = array_key_first($suffice) ?? array_key_last($others);
            $named[$name] = true;
            $left -= $counts[$name];
        }
        $asked = 0;
        foreach ($this->held as $name => $keys) {
            $asked += strlen($name) + self::ASKED;
            foreach (isset($counts[$name]) ? array_keys($keys) : [] as $key) {
                $asked += strlen((string)$key) + self::ASKED;
            }
        }
        return [
            'list all, however many' => [$all * self::RECORD, $exact],
            'list up to 1,000, else name the caches (R29)' => $all <= self::MOST
                ? [$all * self::RECORD, $exact]
                : [self::MOST * self::RECORD + count($this->held) * self::LAST, $of($counts)],
            'a log for each cache: follow those that it holds' => [array_sum($followed) * self::RECORD, $exact],
            'chatty caches out of log and memory' => [
                array_sum(array_diff_key($counts, $chatty)) * self::RECORD,
                $exact + $of($chatty) - array_sum(array_map(
                    fn($name) => array_sum(array_intersect_key($page[$name] ?? [], $changed[$name])),
                    array_keys($chatty),
                )),
            ],
            'ask for the keys that it holds, of caches that changed' => [$asked, $exact],
            'a position a node; the busiest caches named' => [$all * self::RECORD / $this->workers, $exact + $of($named)],
        ];
    }
}
