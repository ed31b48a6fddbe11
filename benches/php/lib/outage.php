<?php
/**
 * Four workers of php-fpm that replay recorded pages, on a Redis server that stalls or is restarted.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

require_once dirname(__DIR__, 3) . '/tests/php/fpm/server.php';

/** A Redis server and a web server of its own; both end with this object. */
final class Outage {
    /** Requests under way at the same time, and workers that answer them. */
    public const WORKERS = 4;

    private const TERMINATE = 15;
    private const STOP = 19;
    private const CONTINUE = 18;

    /** @var resource[] The servers, the last of which runs. */
    private array $redis = [];

    /** @var string[] How one is started. */
    private array $command;

    private \Server $web;

    private string $url;

    /** @var string[] Files that hold the pages. */
    private array $pages;

    private int $sent = 0;

    private int $started;

    /** @var string[] What the stores logged, with the time. */
    public array $events = [];

    public function __construct(string $extension, Recording $recording) {
        $this->started = hrtime(true);
        $modules = array_filter(['igbinary', 'redis'], fn($module) => is_file(ini_get('extension_dir') . "/{$module}.so"));
        $loaded = array_map(fn($module) => "extension={$module}", [...$modules, $extension]);
        $this->web = new \Server(self::WORKERS, [...$loaded, 'memory_limit=512M', 'display_errors=1']);
        foreach ($recording->pages as $number => $page) {
            $ops = $page->refilling($recording->values);
            $definitions = array_values(array_unique(array_column($ops, 1)));
            $this->pages[$number] = "{$this->web->directory()}/page{$number}";
            file_put_contents($this->pages[$number], serialize(['ops' => $ops, 'definitions' => $definitions]));
        }
        file_put_contents("{$this->web->directory()}/everything", serialize(['ops' => [], 'definitions' => $recording->definitions()]));
        $free = stream_socket_server('tcp://127.0.0.1:0');
        $address = stream_socket_get_name($free, false);
        fclose($free);
        [, $port] = explode(':', $address);
        $this->command = ['redis-server', '--bind', '127.0.0.1', '--port', $port, '--save', '', '--dir', $this->web->directory()];
        $this->start($this->command);
        for ($tries = 0; !@stream_socket_client("tcp://{$address}"); $tries++) {
            $tries < 100 || throw new \RuntimeException('redis-server does not start');
            usleep(50_000);
        }
        $this->url = "redis://{$address}";
    }

    public function __destruct() {
        $this->resume();
        foreach ($this->redis as $process) {
            proc_terminate($process, self::TERMINATE);
            proc_close($process);
        }
    }

    private function start(array $command): void {
        $this->redis[] = proc_open($command, [1 => ['file', '/dev/null', 'w']], $pipes)
            ?: throw new \RuntimeException('redis-server could not be started');
    }

    /** Kills the server after so many seconds and starts it again so many later, whatever this process does then: with what {@see save()} kept. */
    public function restart(float $after, float $away): void {
        $script = 'sleep "$1"; kill -9 "$2"; sleep "$3"; shift 3; exec "$@"';
        $pid = proc_get_status(end($this->redis))['pid'];
        $this->start(['sh', '-c', $script, 'sh', (string)$after, (string)$pid, (string)$away, ...$this->command]);
    }

    /** Makes a snapshot, with which the server is restarted: without one it comes back empty. */
    public function save(): void {
        $server = stream_socket_client("tcp://{$this->address()}");
        fwrite($server, "SAVE\r\n");
        fgets($server) === "+OK\r\n" || throw new \RuntimeException('redis-server makes no snapshot');
    }

    /** The server's address, as host:port. */
    public function address(): string {
        return substr($this->url, strlen('redis://'));
    }

    public function directory(): string {
        return $this->web->directory();
    }

    public function pause(): void {
        proc_terminate(end($this->redis), self::STOP);
    }

    public function resume(): void {
        proc_terminate(end($this->redis), self::CONTINUE);
    }

    /** Options of a store on the Redis server, with a fallback if one is given. */
    public function before(string $fallback = ''): array {
        return ['server' => $this->url, 'fallback' => $fallback, 'namespace' => 'outage'];
    }

    /** Who serves. */
    public function tier(array $options): string {
        return $this->web->requests(__DIR__ . '/request.php', [json_encode(['tier' => true, 'options' => $options])])[0];
    }

    /**
     * Plays pages for so many seconds, page by page with each of several stores in turn.
     *
     * @param array<string, array<string, string>> $stores Options by label.
     * @param array<string, mixed> $work More of what request.php understands.
     * @param float $purge After so many seconds everything is purged, by a request beside the pages; 0 = never.
     * @return array<string, list<array>> What was measured, see {@see Replay::play()}; with "refused", the sets that were, and
     *     "at", the seconds until it was done.
     */
    public function play(array $stores, float $seconds, array $work = [], float $purge = 0): array {
        $labels = array_keys($stores);
        $began = hrtime(true);
        $until = $began + (int)($seconds * 1e9);
        $measured = array_fill_keys($labels, []);
        $next = function () use ($stores, $labels, $began, $until, $work, &$purge): ?string {
            if (hrtime(true) >= $until) {
                return null;
            }
            $label = $labels[$this->sent % count($labels)];
            $body = ['page' => $this->pages[intdiv($this->sent, count($labels)) % count($this->pages)], 'options' => $stores[$label], 'label' => $label] + $work;
            if ($purge > 0 && hrtime(true) >= $began + $purge * 1e9) {
                $purge = 0;
                return json_encode(['page' => "{$this->web->directory()}/everything", 'purge' => true] + $body);
            }
            $this->sent++;
            return json_encode($body);
        };
        $done = function (string $answer) use (&$measured, $began): void {
            $one = json_decode($answer, true) ?? throw new \RuntimeException("a page failed: {$answer}");
            $one['at'] = (hrtime(true) - $began) / 1e9;
            foreach ($one['events'] as $events) {
                $this->events[] = sprintf('%.1f s: %s', (hrtime(true) - $this->started) / 1e9, $events);
            }
            if (!$one['purged']) {
                $measured[$one['label']][] = $one;
            }
        };
        $this->web->flow(__DIR__ . '/request.php', self::WORKERS, $next, $done);
        return $measured;
    }
}
