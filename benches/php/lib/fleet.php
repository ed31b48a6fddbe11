<?php
/**
 * The processes of a node, between whose pages others change what they share.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

foreach (['candidates', 'changes', 'model', 'server'] as $file) {
    require_once __DIR__ . "/{$file}.php";
}

/** Processes that take turns. A page of each follows so many changes as others make while it is idle. */
final class Fleet {
    /** A process that asked the server a second ago asks for its identity, too: none of them asks more often here. */
    private const LEAST_SECONDS = 1.05;

    /** @var Worker[] */
    private array $workers = [];

    private ?Worker $writer;

    /** @var int[] The pages that change nothing. */
    private array $pages;

    /** @var float[] When each process had its last turn. */
    private array $last = [];

    private int $turns = 0;
    private float $due = 0;

    /** @var array<int, array<int, array>> What an average page cost, by the number of processes and the changes a second. */
    private array $measured = [];

    /**
     * @param \Closure(): Worker $start Starts a process of the node.
     * @param callable(): Worker $other Starts one elsewhere, which writes.
     * @param float $idle Seconds between two pages of a process.
     */
    public function __construct(
        private Bench $bench,
        private Server $server,
        private \Closure $start,
        callable $other,
        int $count,
        private float $idle,
    ) {
        $this->pages = $bench->readers;
        $this->writer = $other();
        $this->writer->ask(['do' => 'fill']);
        for ($i = 0; $i < $count; $i++) {
            $worker = $start();
            // The first ones end a request, and so tell the others what there is to read.
            foreach ($i < 2 ? $this->pages : [$this->pages[0]] as $page) {
                $worker->ask(['do' => 'turn', 'page' => $page]);
            }
            $this->workers[] = $worker;
        }
        foreach ($this->workers as $worker) {
            $worker->ask(['do' => 'measure', 'offset' => 0, 'pages' => $this->pages]);
        }
    }

    /** @param int[] $rates Changes a second. */
    public function measure(array $rates, Screen $screen, ?int $count = null): void {
        $count ??= count($this->workers);
        foreach ($rates as $number => $rate) {
            // At first some of them list what they hold.
            $this->play($count, $rate, $this->turns === 0 ? 3 : 1);
            $this->measured[$count][$rate] = $this->average($this->play($count, $rate, $this->bench->passes), $rate, $count);
            $screen->progress('rates', $number + 1, count($rates));
        }
    }

    /** The same with a quarter of the processes. */
    public function measureFewer(int $rate): void {
        $this->measure([$rate], $this->bench->screen, intdiv(count($this->workers), 4));
    }

    /**
     * Replaces all processes by new ones that know nothing and begin at once.
     *
     * @return string[] Of a table: for each of so many pages what all of them took together.
     */
    public function beginAtOnce(int $pages): array {
        $count = count($this->workers);
        $this->workers = array_map(fn() => ($this->start)(), range(1, $count));
        $cells = [];
        for ($i = 0; $i < $pages; $i++) {
            $this->server->reset();
            $commands = array_map(fn($worker) => ['do' => 'turn', 'page' => $this->pages[($worker + $i) % count($this->pages)]], range(1, $count));
            $times = array_column(Worker::askAll($this->workers, $commands), 'nanoseconds');
            sort($times);
            $cells[] = sprintf('%.1f MB, %.0f ms', $this->server->did()['bytes'] / 1e6, $times[(int)(0.95 * $count)] / 1e6);
        }
        return $cells;
    }

    /** Ends the processes. */
    public function end(): void {
        [$this->workers, $this->writer] = [[], null];
    }

    /**
     * What an average page cost.
     *
     * @return array{memory: float, trips: float, server: float, bytes: float, median: float, p95: float, change: float, changeBytes: float, between: float}
     */
    public function at(int $rate, ?int $count = null): array {
        return $this->measured[$count ?? array_key_first($this->measured)][$rate];
    }

    /** @return array<int, array> By the changes a second. */
    public function rates(): array {
        return reset($this->measured);
    }

    /** @return string[][] Of a table. */
    public function rows(string $label): array {
        $rows = [];
        foreach ($this->measured as $count => $rates) {
            foreach ($rates as $rate => $page) {
                $rows[] = [
                    $label,
                    (string)$count,
                    number_format($rate),
                    sprintf('%.1f %%', 100 * $page['memory']),
                    sprintf('%.2f', $page['trips']),
                    sprintf('%.0f µs', $page['server']),
                    number_format($page['bytes']),
                    sprintf('%.2f ms', $page['median']),
                    sprintf('%.2f ms', $page['p95']),
                    $rate === 0 ? '' : sprintf('%.0f µs', $page['change']),
                ];
            }
        }
        return $rows;
    }

    /**
     * @return list<array> What each turn cost.
     */
    private function play(int $count, int $rate, int $passes): array {
        $turns = [];
        for ($turn = 0; $turn < $count * $passes; $turn++) {
            $number = $turn % $count;
            $changes = $this->change($rate * $this->idle / $count);
            $wait = ($this->last[$number] ?? 0) + self::LEAST_SECONDS - hrtime(true) / 1e9;
            $wait > 0 && usleep((int)(1e6 * $wait));
            $this->server->reset();
            $page = $this->pages[($this->turns++ * 7) % count($this->pages)];
            $measured = $this->workers[$number]->ask(['do' => 'turn', 'page' => $page]);
            $this->last[$number] = hrtime(true) / 1e9;
            $turns[] = $measured + $this->server->did() + ['changes' => $changes];
        }
        return $turns;
    }

    /** Lets others make so many changes, or what is due of them; what they cost the server. */
    private function change(float $count): array {
        $this->due += $count;
        $now = (int)$this->due;
        $this->due -= $now;
        if ($now === 0) {
            return ['microseconds' => 0, 'bytes' => 0, 'count' => 0];
        }
        $this->server->reset();
        $this->writer->ask(['do' => 'change', 'count' => $now]);
        return $this->server->did() + ['count' => $now];
    }

    private function average(array $turns, int $rate, int $count): array {
        $sum = fn(string $what) => array_sum(array_column($turns, $what));
        $times = array_column($turns, 'nanoseconds');
        sort($times);
        $changes = array_filter(array_column($turns, 'changes'), fn($changes) => $changes['count'] > 0);
        $made = max(1, array_sum(array_column($changes, 'count')));
        // Medians of times: now and then the server waits for a processor.
        $change = array_map(fn($changes) => $changes['microseconds'] / $changes['count'], $changes);
        return [
            'memory' => $sum('memory') / $sum('reads'),
            'trips' => $sum('trips') / count($turns),
            'server' => Measures::median(array_column($turns, 'microseconds')),
            'bytes' => $sum('bytes') / count($turns),
            'median' => $times[intdiv(count($times), 2)] / 1e6,
            'p95' => $times[(int)(0.95 * count($times))] / 1e6,
            'change' => $change === [] ? 0 : Measures::median($change),
            'changeBytes' => array_sum(array_column($changes, 'bytes')) / $made,
            // Changes since the process, and since any process of the node, last asked.
            'since' => $rate * $this->idle,
            'sinceNode' => $rate * $this->idle / $count,
        ];
    }
}
