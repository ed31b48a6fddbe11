<?php
/**
 * A slow filesystem for a part of the benchmark.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

/** A directory mounted with a delay for each request, as often as there are nodes; unmounted with this object. */
final class SlowMount {
    /** What `slow-mount` ends with where there is no FUSE. */
    private const NO_FUSE = 2;

    /** What a request takes. */
    public const MICROSECONDS = 600;

    /** @var resource */
    private $process;

    /** @var array<int, resource> */
    private array $pipes = [];

    /** Where it is mounted, the first time. */
    public readonly string $path;

    /** @param string[] $paths Where it is mounted. */
    private function __construct(public readonly array $paths) {
        $this->path = $paths[0];
    }

    /**
     * A mount for a part of the benchmark, with what one request takes on EFS; null, and a line that says so, where there is
     * no FUSE.
     */
    public static function for(Bench $bench, string $name): ?self {
        $mount = self::at("{$bench->programs}/slow-mount", "{$bench->directory}/{$name}");
        if ($mount === null) {
            $bench->screen->line('skipped: there is no FUSE here, so no slow filesystem');
        }
        return $mount;
    }

    /** Mounts `$directory`/exported at `$directory`/mounted0 and so on; null where there is no FUSE. */
    public static function at(string $program, string $directory, int $nodes = 1): ?self {
        $mount = new self(array_map(fn($node) => "{$directory}/mounted{$node}", range(0, $nodes - 1)));
        foreach (["{$directory}/exported", ...$mount->paths] as $path) {
            mkdir($path, 0700, true);
        }
        $command = [$program, '--delay-us', (string)self::MICROSECONDS, "{$directory}/exported", ...$mount->paths];
        $mount->process = proc_open($command, [['pipe', 'r'], ['pipe', 'w']], $mount->pipes)
            ?: throw new \RuntimeException("{$program} could not be started");
        if ($mount->answer() === 'mounted') {
            return $mount;
        }
        $code = $mount->end();
        return $code === self::NO_FUSE ? null : throw new \RuntimeException("{$program} ended with {$code}");
    }

    /**
     * The stores that are compared on it, filled.
     *
     * @return array<string, callable(): Worker> Each starts a process.
     */
    public function stores(Bench $bench): array {
        $tier = ['node_tier' => "local:{$this->path}.tier"];
        $stores = [
            'Larder, dir: with node tier' => fn() => $bench->larder("dir:{$this->path}/tiered", $tier),
            'Larder, dir:' => fn() => $bench->larder("dir:{$this->path}/plain"),
            "file store's way" => fn() => $bench->files("{$this->path}/files"),
        ];
        foreach ($stores as $label => $start) {
            $start()->ask(['do' => 'fill']);
            if (self::isLarder($label)) {
                // The process ends after its pages, and with it its requests: only then is the hot set written.
                $start()->ask(['do' => 'verify', 'offset' => 0]);
            }
        }
        return $stores;
    }

    /** Whether that is the label of a store of Larder's. */
    public static function isLarder(string $label): bool {
        return str_starts_with($label, 'Larder');
    }

    /** The program's process. */
    public function pid(): int {
        return proc_get_status($this->process)['pid'];
    }

    /** Requests to the filesystem's server so far. */
    public function requests(): int {
        fwrite($this->pipes[0], "\n");
        return (int)$this->answer();
    }

    public function __destruct() {
        $this->end();
    }

    /** Ends the program; gives its exit code. */
    private function end(): int {
        array_map('fclose', $this->pipes);
        $this->pipes = [];
        return is_resource($this->process) ? proc_close($this->process) : 0;
    }

    private function answer(): string {
        return trim((string)fgets($this->pipes[1]));
    }
}
