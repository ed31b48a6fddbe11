<?php
/**
 * Starts processes of worker.php and talks to them.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

/** A worker process. It ends with this object. */
final class Worker {
    /** @var resource */
    private $process;

    /** @var array<int, resource> */
    private array $pipes = [];

    private string $unread = '';

    /**
     * @param string[] $php The PHP command with its options.
     * @param array{recording: string, store: string, target: string|array<string, string>} $options
     */
    public function __construct(array $php, array $options) {
        $command = [...$php, dirname(__DIR__) . '/worker.php', json_encode($options)];
        $this->process = proc_open($command, [['pipe', 'r'], ['pipe', 'w']], $this->pipes)
            ?: throw new \RuntimeException('a PHP process could not be started');
    }

    public function __destruct() {
        array_map('fclose', $this->pipes);
        proc_close($this->process);
    }

    /** The number of the process. */
    public function pid(): int {
        return proc_get_status($this->process)['pid'];
    }

    /** Sends a command and waits for what it results in. */
    public function ask(array $command): mixed {
        return self::askAll([$this], [$command])[0];
    }

    /**
     * Sends a command to each worker and waits until all are done; they work at the same time.
     *
     * @param self[] $workers
     * @param array[] $commands
     * @param (callable(int): void)|null $progress Called with the number of pages that all have played so far.
     * @return array The results, in order.
     */
    public static function askAll(array $workers, array $commands, ?callable $progress = null): array {
        foreach ($workers as $i => $worker) {
            fwrite($worker->pipes[0], json_encode($commands[$i], JSON_THROW_ON_ERROR) . "\n");
        }
        $results = $pages = [];
        while (count($results) < count($workers)) {
            $readable = array_map(fn($worker) => $worker->pipes[1], array_diff_key($workers, $results));
            $write = $except = null;
            stream_select($readable, $write, $except, null);
            foreach (array_keys($readable) as $i) {
                foreach ($workers[$i]->lines() as $answer) {
                    if (isset($answer['pages'])) {
                        $pages[$i] = $answer['pages'];
                        $progress && $progress(array_sum($pages));
                    } else {
                        $results[$i] = $answer['result'];
                    }
                }
            }
        }
        ksort($results);
        return $results;
    }

    /** The answers that have arrived. */
    private function lines(): array {
        $bytes = fread($this->pipes[1], 1 << 20);
        if ($bytes === '' || $bytes === false) {
            throw new \RuntimeException('a PHP process of the replay died; what it said stands above');
        }
        $lines = explode("\n", $this->unread . $bytes);
        $this->unread = array_pop($lines);
        return array_map(fn($line) => json_decode($line, true, 512, JSON_THROW_ON_ERROR), $lines);
    }
}
