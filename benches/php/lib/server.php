<?php
/**
 * What a Redis server says it did.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

/** A connection that asks for the server's statistics, and leaves its own requests out of them. */
final class Server {
    /** @var resource */
    private $connection;

    public function __construct(string $socket) {
        $this->connection = stream_socket_client("unix://{$socket}") ?: throw new \RuntimeException("{$socket} does not answer");
    }

    /** Begins to count. */
    public function reset(): void {
        fwrite($this->connection, "CONFIG RESETSTAT\r\n");
        fgets($this->connection);
    }

    /**
     * What the server did for others since.
     *
     * @return array{microseconds: int, bytes: int} Time in commands, and bytes in both directions.
     */
    public function did(): array {
        [$commands, $reply] = $this->info('commandstats');
        [$stats] = $this->info('stats');
        preg_match_all('/^cmdstat_(?!config)[^:]*:calls=\d+,usec=(\d+)/m', $commands, $times);
        preg_match_all('/^total_net_(?:in|out)put_bytes:(\d+)/m', $stats, $bytes);
        $own = strlen("+OK\r\n") + strlen("INFO commandstats\r\n") + $reply + strlen("INFO stats\r\n");
        return ['microseconds' => array_sum($times[1]), 'bytes' => array_sum($bytes[1]) - $own];
    }

    /** @return array{string, int} A section, and the bytes of the reply. */
    private function info(string $section): array {
        fwrite($this->connection, "INFO {$section}\r\n");
        $head = fgets($this->connection);
        $length = (int)substr($head, 1) + 2;
        $text = stream_get_contents($this->connection, $length);
        return [$text, strlen($head) + $length];
    }
}
