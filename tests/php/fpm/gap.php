<?php
// Pages that need cache locks, while their server is killed and comes back: each gets its lock, and nobody waits for a lease.

const LOCKER = __DIR__ . '/locker.php';
const LOCKS = 60;

/** A Redis server that can be killed, and started again at the same place. */
final class Mortal {
    public readonly string $socket;
    private $process = null;

    public function __construct(private string $directory) {
        $this->socket = "$directory/redis.sock";
        at_end($this->kill(...));
    }

    public function start(): void {
        $command = ['redis-server', '--port', '0', '--unixsocket', $this->socket, '--save', '', '--dir', $this->directory];
        $this->process = proc_open($command, [['file', '/dev/null', 'r'], ['file', "$this->directory/log", 'w'], ['redirect', 1]], $pipes);
        for ($tries = 0; $tries < 500 && $this->ask('PING') !== '+PONG'; $tries++) {
            usleep(10000);
        }
    }

    public function kill(): void {
        if ($this->process) {
            proc_terminate($this->process, SIGKILL);
            proc_close($this->process);
            $this->process = null;
        }
    }

    public function ask(string $command): string {
        $stream = @stream_socket_client("unix://$this->socket");
        return $stream && fwrite($stream, "$command\r\n") ? rtrim((string)fgets($stream)) : '';
    }
}

/**
 * Kills the server while a page holds a lock, and starts it again.
 *
 * @return array<array> what the pages said that needed a lock
 */
function locks_in_a_gap(Server $server, string $fallback, bool $snapshot): array {
    $directory = fresh_directory();
    $redis = new Mortal($directory);
    $redis->start();
    $config = ['server' => "redis+unix://$redis->socket", 'namespace' => 'gap', 'fallback' => $fallback ? "$fallback:$directory/fallback" : ''];
    touch($hold = "$directory/hold");
    $body = fn(array $more): string => json_encode(['config' => $config] + $more);
    $tier = '';
    $said = [];
    $steps = (function () use ($redis, $fallback, $snapshot, $hold, $body, &$tier, &$said) {
        $lock = fn(int $number): string => $body(['key' => 'k' . $number % 10]);
        $until = function (string $wanted) use ($body, &$tier) {
            for ($end = microtime(true) + 20; $tier !== $wanted && microtime(true) < $end; usleep(10000)) {
                yield $body(['tier' => true]);
            }
        };
        // A lock that is held while its server goes is lost (R24), so only the page that holds one on purpose may be under way then.
        $answered = function (int $pages) use ($body, &$said) {
            for ($end = microtime(true) + 20; count($said) < $pages && microtime(true) < $end; usleep(10000)) {
                yield $body(['tier' => true]);
            }
        };
        // A server that has just begun to run is no reason to wait either.
        yield from array_map($lock, range(1, 10));
        yield from $answered(10);
        yield $body(['key' => 'k0', 'hold' => $hold]);
        while (!file_exists("$hold.held")) {
            usleep(1000);
            clearstatcache();
        }
        !$snapshot || $redis->ask('SAVE') === '+OK' || throw new RuntimeException('no snapshot');
        $redis->kill();
        if ($fallback) {
            yield from $until('fallback');
            yield from array_map($lock, range(1, LOCKS));
            yield from $answered(10 + LOCKS);
        }
        $redis->start();
        yield from $until('primary');
        yield from array_map($lock, range(1, LOCKS));
        unlink($hold);
    })();
    $begun = false;
    $next = function () use ($steps, &$begun): ?string {
        // Whatever comes before the next request happens after this one was sent.
        $begun ? $steps->next() : $begun = true;
        return $steps->valid() ? $steps->current() : null;
    };
    $done = function (string $answer) use (&$said, &$tier): void {
        $one = json_decode($answer, true) ?? ['broken' => $answer];
        isset($one['tier']) ? $tier = $one['tier'] : $said[] = $one;
    };
    $server->flow(LOCKER, 4, $next, $done);
    return $said;
}

/** Does that in all ways; what must not be ends the run. */
function gap(): void {
    foreach ([['', false], ['', true], ['local', true], ['dir', true]] as [$fallback, $snapshot]) {
        $server = new Server(4, settings(false));
        $said = locks_in_a_gap($server, $fallback, $snapshot);
        $holders = array_values(array_filter($said, fn($one) => $one['held'] ?? false));
        $pages = array_filter($said, fn($one) => !($one['held'] ?? false));
        $without = array_filter($pages, fn($one) => !($one['got'] ?? false));
        $refused = array_filter($pages, fn($one) => ($one['got'] ?? false) && !$one['stored']);
        $how = ($fallback ? "fallback $fallback:" : 'no fallback') . ($snapshot ? ', back with a snapshot' : ', back empty');
        echo "locks: $how, ", count($pages), ' pages, ', count($without), ' without their lock, ', count($refused), " sets refused\n";
        count($said) === 11 + LOCKS * ($fallback ? 2 : 1) || fail('pages are missing', $server);
        $without && fail('a page did without: ' . json_encode(reset($without)), $server);
        // While all nodes go over to a shared fallback, or back, a set may be refused: one a worker, each way.
        count($refused) <= ($fallback === 'dir' ? 8 : 0) || fail('a set was refused: ' . json_encode(reset($refused)), $server);
        ($holders[0]['got'] && !$holders[0]['stored']) || fail('who lost its lock wrote under it: ' . json_encode($holders), $server);
    }
}
