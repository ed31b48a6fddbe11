<?php
/**
 * Programs that a measurement starts, and what they use.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

/** A program that ends with this object. */
final class Process {
    private const TERMINATE = 15;

    /** @var resource */
    private $process;

    /** @var array<int, resource> Its standard input and output, if asked for. */
    public array $pipes = [];

    /**
     * @param string[] $command
     * @param bool $talks Whether its standard input and output are pipes.
     * @param string|null $complaints The file that its standard error goes to; null = that of this process.
     */
    public function __construct(array $command, bool $talks = false, ?array $environment = null, ?string $complaints = null) {
        $pipes = $talks ? [['pipe', 'r'], ['pipe', 'w']] : [['file', '/dev/null', 'r'], ['file', '/dev/null', 'w']];
        if ($complaints !== null) {
            $pipes[2] = ['file', $complaints, 'w'];
        }
        $this->process = proc_open($command, $pipes, $this->pipes, null, $environment)
            ?: throw new \RuntimeException("{$command[0]} could not be started");
    }

    public function pid(): int {
        return proc_get_status($this->process)['pid'];
    }

    /** Waits a little for its next line; null if there is none yet, empty when it has ended. */
    public function line(): ?string {
        $readable = [$this->pipes[1]];
        $none = null;
        return stream_select($readable, $none, $none, 0, 50_000) ? (string)fgets($this->pipes[1]) : null;
    }

    /** Asks it to end, and goes on. */
    public function terminate(): void {
        proc_terminate($this->process, self::TERMINATE);
    }

    /** Ends it at once, without a chance to clean up. */
    public function kill(): void {
        proc_terminate($this->process, 9);
        proc_close($this->process);
        $this->process = null;
    }

    public function __destruct() {
        array_map('fclose', $this->pipes);
        if ($this->process) {
            proc_terminate($this->process, self::TERMINATE);
            proc_close($this->process);
        }
    }
}

/** A port of the loopback interface that nobody listens on. */
function free_port(): int {
    $free = stream_socket_server('tcp://127.0.0.1:0');
    return (int)substr(strrchr(stream_socket_get_name($free, false), ':'), 1);
}

/** Waits until somebody listens there. */
function wait_for_port(int $port): void {
    for ($tries = 0; !@stream_socket_client("tcp://127.0.0.1:{$port}"); $tries++) {
        $tries < 200 || throw new \RuntimeException("nobody listens on port {$port}");
        usleep(50_000);
    }
}

/** CPU seconds that a process and its children have used so far. */
function cpu_seconds(int $pid): float {
    static $ticks = 100; // Of a second, as Linux counts for all processes.
    $seconds = 0;
    foreach ([$pid, ...preg_split('/ /', (string)@file_get_contents("/proc/{$pid}/task/{$pid}/children"), -1, PREG_SPLIT_NO_EMPTY)] as $one) {
        // The fields after the name, which is in brackets and may hold anything.
        $fields = explode(' ', (string)preg_replace('/^.*\) /s', '', (string)@file_get_contents("/proc/{$one}/stat")));
        $seconds += (($fields[11] ?? 0) + ($fields[12] ?? 0)) / $ticks;
    }
    return $seconds;
}
