<?php
/**
 * A slow filesystem for a part of the benchmark.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

/** A directory mounted with a delay for each request; unmounted with this object. */
final class SlowMount {
    /** @var resource */
    private $process;

    /** @var array<int, resource> */
    private array $pipes = [];

    private function __construct(public readonly string $path) {
    }

    /** Mounts `$directory`/exported at `$directory`/mounted; null where there is no FUSE. */
    public static function at(string $program, string $directory, int $microseconds): ?self {
        foreach (['exported', 'mounted'] as $name) {
            mkdir("{$directory}/{$name}", 0700, true);
        }
        $mount = new self("{$directory}/mounted");
        $command = [$program, "{$directory}/exported", $mount->path, '--delay-us', (string)$microseconds];
        $mount->process = proc_open($command, [['pipe', 'r'], ['pipe', 'w']], $mount->pipes)
            ?: throw new \RuntimeException("{$program} could not be started");
        return $mount->answer() === 'mounted' ? $mount : null;
    }

    /** Requests to the filesystem's server so far. */
    public function requests(): int {
        fwrite($this->pipes[0], "\n");
        return (int)$this->answer();
    }

    public function __destruct() {
        array_map('fclose', $this->pipes);
        proc_close($this->process);
    }

    private function answer(): string {
        return trim((string)fgets($this->pipes[1]));
    }
}
