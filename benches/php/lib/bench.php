<?php
/**
 * What the parts of `make bench` share: the stores, tables, targets and charts.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

foreach (['recording', 'worker', 'measures', 'comparison', 'machine', 'screen', 'targets'] as $file) {
    require_once __DIR__ . "/{$file}.php";
}

/** A run of `make bench`. */
final class Bench {
    /**
     * OPcache as on a web server, for all stores alike. Its JIT compiles the replay's own code before that runs, so that
     * less but the store is measured; a tracing one would compile while the clock runs.
     */
    private const OPCACHE = ['-d', 'opcache.enable_cli=1', '-d', 'opcache.jit=function', '-d', 'opcache.jit_buffer_size=16M'];

    public readonly Screen $screen;

    /** How many pages the recording has. */
    public readonly int $pages;

    /** @var int[] The numbers of those that change nothing. */
    public readonly array $readers;

    private string $data;

    /** @var list<array> Charts as {@see save()} writes them. */
    private array $charts = [];

    /**
     * @param string $extension Path of Larder's extension.
     * @param string $programs Directory of the benchmark's own programs.
     * @param string $directory For scratch files; has the socket of a Redis server.
     * @param int $delay Port of a proxy that delays that server's answers.
     * @param int $passes How often each page is measured.
     */
    public function __construct(
        public readonly string $extension,
        public readonly string $programs,
        public readonly string $directory,
        public readonly int $delay,
        public readonly int $passes,
    ) {
        $this->screen = new Screen();
        $this->data = dirname(__DIR__, 2) . '/data/moodle45';
        $recording = new Recording($this->data);
        $this->pages = count($recording->pages);
        $this->readers = $recording->readers();
    }

    /**
     * A process with Larder on `$server`.
     *
     * @param array<string, string> $options More of the store's options.
     */
    public function larder(string $server, array $options = []): Worker {
        $target = ['server' => $server] + $options;
        return $this->worker('larder', $target, '-d', "extension={$this->extension}");
    }

    /** The recorded pages and values. */
    public function recording(): Recording {
        return new Recording($this->data);
    }

    /** A process that works the way of Moodle's file store. */
    public function files(string $directory): Worker {
        return $this->worker('file', $directory);
    }

    /** A process that works the way of Moodle's Redis store, on a socket or host:port. */
    public function phpredis(string $server, string $serializer = 'php'): Worker {
        $name = $serializer === 'php' ? 'redis' : "redis-{$serializer}";
        $modules = array_filter(['igbinary', 'msgpack', 'redis'], $this->installed(...));
        return $this->worker($name, $server, ...array_merge(...array_map(fn($module) => ['-d', "extension={$module}"], $modules)));
    }

    /** A process with APCu. */
    public function apcu(): Worker {
        return $this->worker('apcu', '', '-d', 'extension=apcu', '-d', 'apc.enable_cli=1', '-d', 'apc.shm_size=256M');
    }

    /** A process with a PHP array. */
    public function memory(): Worker {
        return $this->worker('memory', '');
    }

    /** Begins a part: its title and the machine. */
    public function begin(string $title): void {
        $this->screen->title($title);
        $this->screen->line(machine($this->directory));
    }

    /**
     * Lets stores play the recording in turns, shows what they took and keeps it as a chart.
     *
     * @param string $name Of the chart's file.
     * @param string $title Of the chart.
     * @param array<string, Worker> $stores By label; ratios are to the first.
     * @return array<string, Measures>
     */
    public function compare(string $name, string $title, array $stores, ?int $passes = null): array {
        $measured = compare(array_map(fn($worker) => [$worker], $stores), $this->pages, $passes ?? $this->passes, $this->screen);
        $times = array_map(fn($measures) => $measures->milliseconds(), $measured);
        $rows = array_map(fn($label) => [
            $label,
            sprintf('%.3f ms', $measured[$label]->milliseconds($this->readers)),
            sprintf('%.3f ms', $times[$label]),
            sprintf('%.2f x', $times[$label] / reset($times)),
            (string)$measured[$label]->ofMedianPage('trips'),
            sprintf('%.2f', $measured[$label]->perPage('trips')),
            sprintf('%.1f %%', 100 * $measured[$label]->hitRate()),
        ], array_keys($measured));
        $this->screen->line();
        $this->screen->table(['store', 'reading page', 'any page', 'to the first', 'round trips: median', 'average', 'hit rate'], $rows);
        $this->screen->line('The average page: of each page the median of its replays, after a warm-up pass that compares every value.');
        $this->screen->line(sprintf('%d of the %d pages change nothing: the reading pages. Any other page waits for its changes to be acknowledged.', count($this->readers), $this->pages));
        $this->screen->line('What a page fills in after a miss is set only if its read missed in the replay, too; other sets and deletes always.');
        $this->chart($name, $title, 'ms in the store a page', $times);
        return $measured;
    }

    /**
     * Keeps a chart.
     *
     * @param array<string, float> $bars Values by label.
     */
    public function chart(string $name, string $title, string $unit, array $bars): void {
        $bars = array_map(fn($label, $value) => ['label' => $label, 'value' => $value], array_keys($bars), $bars);
        $this->keep($name, $title, $unit, ['bars' => $bars]);
    }

    /**
     * Keeps a chart of lines.
     *
     * @param array<string, list<array{float, float}>> $lines Their points by label.
     */
    public function lines(string $name, string $title, string $across, string $unit, array $lines): void {
        $lines = array_map(fn($label, $points) => ['label' => $label, 'points' => $points], array_keys($lines), $lines);
        $this->keep($name, $title, $unit, ['across' => $across, 'lines' => $lines]);
    }

    private function keep(string $name, string $title, string $unit, array $content): void {
        // A chart names the machine, not the scratch directory.
        $processor = preg_replace('/ · [^·]*$/u', '', machine($this->directory));
        $this->charts[] = ['name' => $name, 'title' => "{$title}; {$processor}", 'unit' => $unit] + $content;
    }

    /** Writes the charts for `plot`. */
    public function save(string $file): void {
        file_put_contents($file, json_encode($this->charts, JSON_THROW_ON_ERROR));
    }

    /** A process of its own, with {@see OPCACHE} where that is installed. */
    private function worker(string $store, string|array $target, string ...$options): Worker {
        $opcache = $this->installed('opcache') ? ['-d', 'zend_extension=opcache', ...self::OPCACHE] : [];
        $php = [PHP_BINARY, '-n', '-d', 'memory_limit=512M', ...$opcache, ...$options];
        return new Worker($php, ['recording' => $this->data, 'store' => $store, 'target' => $target]);
    }

    /** Whether PHP can load a module. */
    private function installed(string $module): bool {
        return is_file(ini_get('extension_dir') . "/{$module}.so");
    }
}
