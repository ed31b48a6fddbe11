<?php
/**
 * What fleets of other sizes would cost their server, from what a page and a change were measured to cost.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

/** Pages and changes of a fleet, counted. Costs between two measured points lie on the line between them. */
final class Model {
    /** Changes a page: half of the pages change something, as an active site's do. */
    private const CHANGES = 0.5;

    /** Processes of a node, where not said otherwise. */
    private const OF_A_NODE = 16;

    /** Bytes a second that a network of 10 Gbit carries. */
    private const NETWORK = 1.25e9;

    /** @param array<string, Fleet> $fleets What was measured, by the store. */
    public function __construct(private array $fleets, private float $idle) {
    }

    /** Shows what each doubling costs, and where the server is at its end. */
    public function show(Bench $bench): void {
        $bench->screen->line();
        $bench->screen->line(sprintf(
            'A model: %d processes a node, a page each %g s, %g changes a page. Of the server: the part of its one core, and its traffic.',
            self::OF_A_NODE,
            $this->idle,
            self::CHANGES,
        ));
        $workers = array_map(fn($power) => 10 * 2 ** $power, range(0, 9));
        $sizes = array_map(fn($count) => [$count, max(2, (int)ceil($count / self::OF_A_NODE))], $workers);
        array_push($sizes, ...array_map(fn($nodes) => [5000, $nodes], [2, 10, 100, 1000]));
        $labels = array_keys($this->fleets);
        $rows = [];
        foreach ($sizes as [$count, $nodes]) {
            $cells = array_map(function ($label) use ($count, $nodes) {
                [$core, $bytes] = $this->server($label, $count, $nodes);
                return sprintf('%.1f %%, %s', 100 * $core, self::traffic($bytes));
            }, $labels);
            $rows[] = [number_format($count), number_format($nodes), number_format($count / $this->idle), ...$cells];
        }
        array_splice($rows, count($workers), 0, [[]]);
        $bench->screen->table(['processes', 'nodes', 'pages a second', ...$labels], $rows);
        foreach ($labels as $label) {
            $bench->screen->line(sprintf('%s: %s.', $label, $this->end($label)));
        }
        foreach ([['fleet-cpu', 'server: part of one core, in %', 0, 100], ['fleet-network', 'server: MB a second', 1, 1e-6]] as [$name, $unit, $which, $factor]) {
            $lines = [];
            foreach ($labels as $label) {
                foreach ($workers as $count) {
                    $nodes = max(2, (int)ceil($count / self::OF_A_NODE));
                    $lines[$label][] = [$count, $factor * $this->server($label, $count, $nodes)[$which]];
                }
            }
            $bench->lines($name, 'A busy fleet, as modelled from what was measured', 'PHP processes', $unit, $lines);
        }
        $bytes = [];
        $rates = array_filter(array_keys($this->fleets[$labels[0]]->rates()));
        foreach ($labels as $label) {
            $pages = $this->fleets[$label]->rates();
            foreach ($rates as $rate) {
                // Where others do not matter it was measured once.
                $bytes[$label][] = [$rate, ($pages[$rate] ?? end($pages))['bytes']];
            }
        }
        $bench->lines('fleet-page', 'What a page takes of the network', 'changes a second by others', 'bytes a page', $bytes);
    }

    /** @return array{float, float} What a fleet takes of the server: cores, and bytes a second. */
    private function server(string $label, int $workers, int $nodes): array {
        $pages = $workers / $this->idle;
        $changes = $pages * self::CHANGES;
        $points = $this->fleets[$label]->rates();
        $since = $label === 'Larder, node tier' ? 'sinceNode' : 'since';
        // Between two questions of a process, or of any process of its node.
        $asked = $changes * $this->idle / ($since === 'since' ? 1 : $workers / $nodes);
        $busiest = end($points);
        $of = fn(string $page, string $change) => $pages * self::between($points, $since, $page, $asked) + $changes * $busiest[$change];
        return [$of('server', 'change') / 1e6, $of('bytes', 'changeBytes')];
    }

    /** The number of processes at which the server is at its end, and by what. */
    private function end(string $label): string {
        for ($count = 10; $count < 1_000_000; $count = (int)ceil($count * 1.05)) {
            [$core, $bytes] = $this->server($label, $count, max(2, (int)ceil($count / self::OF_A_NODE)));
            if ($core >= 1 || $bytes >= self::NETWORK) {
                return sprintf('%s is at its end with %s processes', $core >= 1 ? "the server's core" : 'a network of 10 Gbit', number_format($count));
            }
        }
        return 'a million processes do not saturate the server';
    }

    /** What `$what` is at `$at`; after the last point as it grew from the first to that. */
    private static function between(array $points, string $by, string $what, float $at): float {
        $points = array_values($points);
        $after = array_key_first(array_filter($points, fn($point) => $point[$by] >= $at));
        [$from, $to] = match (true) {
            $after === null => [$points[0], end($points)],
            $after === 0 => [$points[0], $points[0]],
            default => [$points[$after - 1], $points[$after]],
        };
        $width = $to[$by] - $from[$by];
        return $width == 0 ? $from[$what] : $from[$what] + ($to[$what] - $from[$what]) * ($at - $from[$by]) / $width;
    }

    private static function traffic(float $bytes): string {
        return sprintf($bytes < 1e7 ? '%.1f MB' : '%.0f MB', $bytes / 1e6);
    }
}
